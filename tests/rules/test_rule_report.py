"""The report of rules: sums of figures, and the cells of its table by kind."""

from __future__ import annotations

import pytest

from recokit.errors import ConfigurationError
from recokit.rules import RuleFigures, RulesReport
from recokit.rules.rule_report import _HEADER, _cells


def cells(rule: RuleFigures) -> dict[str, str]:
    """Return what the table shows of a rule, by column, blanks left out."""
    return {name: cell for name, cell in zip(_HEADER, _cells(rule), strict=True) if cell}


def test_figures_of_nothing_are_zero_or_not_known() -> None:
    rule = RuleFigures("stock", "filter")
    assert (rule.rows, rule.n_in, rule.removed, rule.relaxed, rule.failed_rows) == (0, 0, 0, 0, 0)
    assert (rule.moved, rule.most_places) == (None, None)


@pytest.mark.parametrize("kind", ["filter", "check"])
def test_what_judges_shows_what_it_removed_and_its_share(kind: str) -> None:
    rule = RuleFigures("stock", kind, rows=2, n_in=8, removed=2)
    assert cells(rule) == {
        "rule": "stock",
        "kind": kind,
        "rows": "2",
        "in": "8",
        "removed": "2",
        "share": "25.0%",
    }
    assert cells(RuleFigures("stock", kind, rows=2)) == {
        "rule": "stock",
        "kind": kind,
        "rows": "2",
        "removed": "0",
    }


def test_a_limit_shows_the_lists_in_which_it_yielded() -> None:
    rule = RuleFigures("cap", "limit", rows=3)
    assert cells(rule) == {"rule": "cap", "kind": "limit", "rows": "3", "relaxed": "0"}


def test_a_scorer_shows_what_moved_and_how_far_where_that_is_known() -> None:
    rule = RuleFigures("boost", "scorer", rows=1, n_in=5, moved=0, most_places=0, failed_rows=1)
    assert cells(rule) == {
        "rule": "boost",
        "kind": "scorer",
        "rows": "1",
        "in": "5",
        "moved": "0",
        "most places": "0",
        "failed rows": "1",
    }
    assert cells(RuleFigures("boost", "scorer", rows=1, n_in=5)).keys() == {"rule", "kind", "rows", "in"}


def test_two_runs_add_up_and_keep_the_farthest_move() -> None:
    one = RuleFigures("boost", "scorer", 1, 10, 2, 1, moved=3, most_places=4, failed_rows=1)
    other = RuleFigures("boost", "scorer", 2, 20, 3, 2, moved=5, most_places=2, failed_rows=2)
    assert one + other == RuleFigures("boost", "scorer", 3, 30, 5, 3, moved=8, most_places=4, failed_rows=3)
    unknown = RuleFigures("boost", "scorer", 1)
    assert (one + unknown).moved == 3
    assert (unknown + one).most_places == 4
    assert (unknown + unknown).moved is None


def test_a_report_is_asked_for_a_rule_by_name() -> None:
    first, second = RuleFigures("first", "filter", removed=1), RuleFigures("second", "filter", removed=2)
    found = RulesReport((first, second), requests=4, items=9)
    assert found["second"] is second
    with pytest.raises(ConfigurationError, match="found no rule 'third'; expected one of first, second"):
        found["third"]
    assert found.to_dict()["rules"][1]["removed"] == 2
    assert (found.to_dict()["requests"], found.to_dict()["items"]) == (4, 9)
    assert "4 requests, 9 items shown" in str(found)
    assert "second" in str(found)
