"""One request for a file or the rest of it: plain HTTP(S), redirects looked at, pages told from archives.

One runnable line: ``python -c "from seglab.fetch.http import ask;
print(ask('https://example.org/a.zip').headers['Content-Length'])"``.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse

AGENT = "seglab (research data sets)"
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed later."""


class Refused(ValueError):
    """This address will not give the file, however often it is asked."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https; from https to http only where a checksum will tell a changed file."""

    def __init__(self, checked: bool) -> None:
        self.checked = checked

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_address(newurl)
        if req.full_url.lower().startswith("https:") and newurl.lower().startswith("http:") and not self.checked:
            raise Refused(f"redirected from https to '{newurl}' and no checksum is known")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_address(url: str) -> None:
    """Only http and https, with a host.

    Raises:
        Refused: anything else, e.g. ``file:``.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise Refused(f"'{url}': expected an address that starts with http:// or https://")


def ask(
    url: str, *, timeout: float = 30.0, checked: bool = False, headers: dict[str, str] | None = None
) -> HTTPResponse:
    """Send a GET request; the answer is open and unread.

    Args:
        url: address.
        timeout: seconds without a byte after which the connection counts as dead.
        checked: whether a checksum of the file is known.
        headers: e.g. ``Range``.

    Raises:
        Refused: the server says no, or the address is no http(s).
        urllib.error.HTTPError: 416, and answers that may change, see :data:`TRANSIENT`.
        OSError: no connection, or it broke.
    """
    check_address(url)
    opener = urllib.request.OpenerDirector()  # of build_opener's list only what speaks HTTP: no file:, ftp:, data:
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(checked),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(
        url, headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})}
    )
    try:
        return opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code in (*TRANSIENT, 416):
            raise
        error.close()
        raise Refused(f"HTTP {error.code} {error.reason}") from error


def total_bytes(answer: HTTPResponse, have: int) -> int | None:
    """Size of the whole file by the headers of a 200 or 206; None where the server does not say."""
    if found := re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", "")):
        return int(found[1])
    length = answer.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def range_start(answer: HTTPResponse) -> int | None:
    """The first byte of a 206; None for the whole file."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if answer.status == 206 and found else None


def is_page(answer: HTTPResponse, start: bytes) -> bool:
    """Whether the server sent a web page (a login, a notice) where a file was expected."""
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    return answer.headers.get_content_type() == "text/html" or head.startswith((b"<!doctype html", b"<html"))
