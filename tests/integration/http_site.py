"""A small HTTP server for tests of downloads: ranges, and every way a server can go wrong."""

from __future__ import annotations

import http.server
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Site:
    """What the server answers.

    Args:
        files: path to content.
        ranges: answer Range requests with 206.
        cut: number of bytes after which the connection breaks, one entry a request, then never again.
        status: path to an HTTP status.
        redirect: path to another address.
        kind: path to a content type.
        length: path to a wrong Content-Length.
        tags: path to an ETag; None = no ETag.
        stall: seconds to wait after the cut instead of closing.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cut: list[int] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    kind: dict[str, str] = field(default_factory=dict)
    length: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    stall: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


def serve(site: Site) -> http.server.ThreadingHTTPServer:
    """Start the server on a free port; ``site.url`` is its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def _handler(site: Site) -> type:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            site.asked.append((self.path, wanted))
            if self.path in site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect[self.path])
                self.end_headers()
                return
            if self.path in site.status or self.path not in site.files:
                self.send_error(site.status.get(self.path, 404))
                return
            self.send(site.files[self.path], wanted)

        def send(self, body: bytes, wanted: str) -> None:
            tag = site.tags.get(self.path, f'"{hash(body)}"')
            start = int(wanted[6:].rstrip("-")) if wanted and site.ranges else 0
            if self.headers.get("If-Range") not in (None, tag):
                start = 0
            if start and start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if tag:
                self.send_header("ETag", tag)
            self.send_header("Content-Type", site.kind.get(self.path, "application/octet-stream"))
            self.send_header("Content-Length", str(site.length.get(self.path, len(body) - start)))
            self.end_headers()
            self.write(body[start:])

        def write(self, body: bytes) -> None:
            cut = site.cut.pop(0) if site.cut else len(body)
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if cut < len(body):
                time.sleep(site.stall)
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
