"""``recokit new``: a small project to start from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from recokit._cli.options import Parser, UsageError

#: Files of the project carry this ending in the package, so that no tool takes them for recokit's own.
_ENDING, _DOT = ".txt", "dot_"


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    made.add_argument("folder", metavar="FOLDER", help="such as shop/; it must not be there, or be empty")
    return made


def run(options: Any) -> int:
    """Write the project, and say what to do in it."""
    from recokit._cli.output import print_json

    folder = Path(options.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"found {options.folder!r} there already; expected a new or an empty folder")
    written = write(folder)
    if options.json:
        print_json({"folder": str(folder), "files": written})
        return 0
    print("\n".join(f"  {folder / name}" for name in written))
    print(f"next: cd {folder} && make install test model evaluate")
    return 0


def write(folder: Path) -> list[str]:
    """Write the files of the project, and return their names."""
    from recokit import __version__

    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "shop"
    written = []
    for path, template in _templates(files("recokit._cli") / "project"):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = template.read_text(encoding="utf-8")
        target.write_text(
            text.replace("{{name}}", name).replace("{{version}}", __version__), encoding="utf-8"
        )
        written.append(path)
    return sorted(written)


def _templates(place: Traversable, below: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in place.iterdir():
        name = entry.name.replace(_DOT, ".", 1) if entry.name.startswith(_DOT) else entry.name
        if entry.is_dir():
            yield from _templates(entry, f"{below}{name}/")
        elif name.endswith(_ENDING):
            yield f"{below}{name.removesuffix(_ENDING)}", entry
