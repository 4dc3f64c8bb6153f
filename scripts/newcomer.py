"""A newcomer's path, walked literally: demo, then every command of docs/tutorial.md, then a table and the report.

python scripts/newcomer.py <folder> --images PeopleSeg/images --masks PeopleSeg/masks     prints a Markdown table
python scripts/newcomer.py <folder> ... --shorter schedule.epochs=2                       overrides for every training

The commands are read from the page, so a page that does not work is found here. ``<run>`` is the folder that the last
training printed; ``photos``, ``masks`` and ``new`` (a few of the photos) lie in the folder where they run.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
NEW = 3
"""Photos that are put into ``new``, as if they had come later."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where everything is written; runs that are there go on")
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="folder of masks with the same names")
    parser.add_argument("--shorter", nargs="*", default=[], help="overrides added to every training")
    options = parser.parse_args()
    furnish(options.folder, options.images, options.masks)
    run, lines, failed = "", ["| step | command | seconds | exit |", "|--:|---|--:|--:|"], False
    for number, command in enumerate([*before(), *commands_of(PAGE), *after()], 1):
        filled = command.replace("<run>", shlex.quote(run or "none"))
        if re.search(r"seglab\.train\b", filled):
            filled = " ".join([filled, *map(shlex.quote, options.shorter)])
        started = time.perf_counter()
        done = walk(filled, options.folder, number)
        seconds = time.perf_counter() - started
        found = [line for line in done.stdout.splitlines() if "/runs/" in line]
        if re.search(r"seglab\.train\b", filled) and found:
            run = Path(found[-1].strip()).name
        failed |= done.returncode != 0
        lines.append(f"| {number} | `{command.replace('|', '/')}` | {seconds:.0f} | {done.returncode} |")
        sys.stderr.write(f"{lines[-1]}\n")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(int(failed))


def before() -> list[str]:
    """What comes before the tutorial."""
    return [f"python {shlex.quote(str(ROOT / 'scripts' / 'demo.py'))}"]


def after() -> list[str]:
    """What comes after it."""
    return ["python -m seglab.table table=cas_t3 scale=smoke", "python -m seglab.report"]


def commands_of(page: Path) -> list[str]:
    """The commands in the code blocks of a page, comments left out.

    Raises:
        ValueError: the page has none.
    """
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [re.split(r"\s+#\s", line)[0].strip() for line in lines if line.startswith("python -m seglab.")]
    if not found:
        raise ValueError(f"{page}: no line that starts with 'python -m seglab.' in a code block")
    return found


def furnish(folder: Path, images: Path, masks: Path) -> None:
    """Put photos and masks where the tutorial has them, as links."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in (("photos", images), ("masks", masks)):
        if not source.is_dir():
            raise SystemExit(f"{source}: no such folder; expected one with files of {name}")
        if not (folder / name).exists():
            (folder / name).symlink_to(source.resolve())
    (folder / "new").mkdir(exist_ok=True)
    for photo in sorted(images.iterdir())[:NEW]:
        if not (folder / "new" / photo.name).exists():
            (folder / "new" / photo.name).symlink_to(photo.resolve())


def walk(command: str, folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    """Run one command as it is typed; what it said lies in ``steps/``."""
    arguments = shlex.split(command)
    arguments[0] = sys.executable if arguments[0] == "python" else arguments[0]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        arguments, cwd=folder, env=os.environ | {"PYTHONPATH": path}, text=True, capture_output=True, check=False
    )
    (folder / "steps").mkdir(exist_ok=True)
    text = f"$ {command}\n{done.stdout}\n{done.stderr}"
    (folder / "steps" / f"{number:02d}.txt").write_text(text, encoding="utf-8")
    return done


if __name__ == "__main__":
    main()
