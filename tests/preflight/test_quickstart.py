"""The launch checklist of the quickstart: a real pipeline on a year of grocery baskets."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import recokit as rk

EXAMPLES = Path(__file__).parents[2] / "examples"
#: What only live traffic, a second kind of event, or something that nobody gave, could tell.
UNKNOWN = {"serving.outcomes", "data.events", "data.drift", "data.negatives", "rules.policy"}


@pytest.mark.slow
def test_the_quickstart_fails_nowhere_and_what_nobody_knows_is_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    quickstart: Any = importlib.import_module("quickstart")
    for name in ("quickstart", "_show"):
        monkeypatch.delitem(sys.modules, name)
    train, test = rk.datasets.load_complete_journey(as_of=quickstart.CUT).split_at(
        quickstart.CUT, horizon="7D"
    )
    pipeline = quickstart.build_pipeline().fit(train, label_window="7D")
    baseline = quickstart.only(pipeline, "merge.popular")
    # Times are those of a machine that runs tests beside.
    report = rk.preflight(
        pipeline, train, test, baseline=baseline, n_requests=20, budget_ms=1_000, slower=100
    )
    print(report)
    assert [str(check) for check in report if check.status == "fail"] == []
    assert {check.name for check in report.unchecked} == UNKNOWN
    assert report["quality.baseline"].status == "pass"
    assert report["rules.stock"].evidence
