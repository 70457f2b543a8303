"""The table of causes: its texts, and that every row is found by a check and explained to users."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter

import pytest

from recokit.debugger.checks import causes
from recokit.debugger.checks.causes import CAUSES, finding
from recokit.debugger.finding import Severity

CHECKS = Path(causes.__file__).parent
DOCS = Path(__file__).parents[2] / "docs/how_to/debugging.md"
CODES = sorted({row.partition(".")[0] for row in CAUSES})


def test_every_row_is_found_by_a_check_and_no_check_finds_another() -> None:
    written: set[str] = set()
    # A scan of many users finds what no check of one could.
    for path in [*CHECKS.glob("*.py"), CHECKS.parent / "model_scan.py"]:
        if path.name != "causes.py":
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            written |= {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    # A second way of a code may be written as the code and what is added to it.
    assert [row for row in CAUSES if row not in written and f".{row.partition('.')[2]}" not in written] == []
    codes = {text.partition(".")[0] for text in written if text.partition(".")[0].isupper() and "_" in text}
    assert codes - {"POPULATION_CHECKS"} <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained_to_users(code: str) -> None:
    (line,) = [
        line
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and f"`{code}`" in line
    ]
    severities = {
        cause.severity.name.lower() for row, cause in CAUSES.items() if row.partition(".")[0] == code
    }
    assert [name for name in severities if name not in line.rpartition(" | ")[2]] == []


@pytest.mark.parametrize("row", CAUSES)
def test_texts_are_sentences_whose_parts_in_brackets_have_a_figure(row: str) -> None:
    cause = CAUSES[row]
    names = {
        name for text in (cause.message, cause.action) for _, name, _, _ in Formatter().parse(text) if name
    }
    full = finding(row, "merge.one", **dict.fromkeys(names - {"stage", "leaf"}, 7))
    assert "{" not in full.message + full.action
    assert full.action.endswith((".", "?")) and not full.message.endswith(".")
    assert full.code == row.partition(".")[0]
    assert (full.place, full.origin, full.relative) == (cause.place, cause.origin, cause.relative)


def test_a_text_is_filled_from_stage_evidence_and_figures() -> None:
    flood = finding("SOURCE_FLOODS", "merge.popular", {"candidates": 90, "baseline": 9}, items=("a", "b"))
    assert flood.message == (
        "merge.popular adds 90 candidates, in the baseline 9: it takes the places of other sources"
    )
    assert flood.action.endswith("Step(popular, limit=...).")
    assert flood.evidence == {"candidates": 90, "baseline": 9} and flood.items == ("a", "b")
    assert (flood.severity, flood.relative) == (Severity.CRITICAL, True)
    changed = finding("SOURCE_CHANGED", "x", severity=Severity.NOTE, relative=False, shared=0.125, first=8)
    assert (changed.severity, changed.relative) == (Severity.NOTE, False)
    assert changed.message == "x puts 12% of the baseline's first 8 items first" and changed.evidence == {}


@pytest.mark.parametrize(("group", "message", "action"), [
    ("", "shop removes 4 of 9 candidates that the baseline's lets pass", "Check what feeds shop."),
    ("brand=[x]", "shop removes 4 of 9 candidates that the baseline's lets pass, all of brand=[x]",
     "Check what feeds shop: it lacks brand=[x]."),
])  # fmt: skip
def test_a_part_in_brackets_is_left_out_without_its_figure(group: str, message: str, action: str) -> None:
    found = finding("RULE_REMOVES_MORE", "shop", {"removed": 4, "of": 9, "group": group})
    assert (found.message, found.action) == (message, action)


def test_brackets_without_a_figure_are_brackets() -> None:
    assert finding("NOT_LOGGED").action.endswith("log.now[row]).")
