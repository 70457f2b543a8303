"""Every Python block of README, CONTRIBUTING and docs/ runs: one module a page, in order, warnings as errors."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,})python(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    line: int
    code: str


def python_blocks(text: str) -> list[Block]:
    """Return the blocks that are to run; ``no-run`` after the language exempts one."""
    return [
        Block(text.count("\n", 0, match.start("code")) + 1, textwrap.dedent(match["code"]))
        for match in _BLOCK.finditer(text)
        if "no-run" not in match["info"].split()
    ]


def run_page(page: Path, module: ModuleType) -> None:
    for block in python_blocks(page.read_text(encoding="utf-8")):
        # Padded, so that a traceback points at the line of the page.
        code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
        exec(code, module.__dict__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real module, because classes of the page may be pickled; a folder of its own, because pages save models.
    module = ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    run_page(page, module)


def test_readme_has_an_example() -> None:
    assert python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))


PAGE = """# Title

```python
x = 1
```

```python no-run
x = undefined
```

```text
not python
```

- a list

    ```python title="indented"
    assert x == 1
    y = 1 / 0
    ```
"""


def test_blocks_are_found_with_their_lines() -> None:
    assert python_blocks(PAGE) == [(4, "x = 1\n"), (18, "assert x == 1\ny = 1 / 0\n")]


def test_blocks_share_a_namespace_and_tracebacks_name_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as error:
        run_page(page, ModuleType("page"))
    assert (error.traceback[-1].path, error.traceback[-1].lineno + 1) == (page, 19)


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nimport warnings\nwarnings.warn('old')\n```\n", encoding="utf-8")
    with pytest.raises(UserWarning, match="old"):
        run_page(page, ModuleType("page"))
