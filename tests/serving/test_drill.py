"""What the report of a drill says."""

from __future__ import annotations

from recokit.serving.drill import Drilled, DrillReport


def test_each_failed_stage_has_its_status_or_the_error() -> None:
    report = DrillReport(
        (
            Drilled("item_knn", "degraded", 10, 0.0125),
            Drilled("in_stock", "", 0, 0.25, "StageError: stock"),
        )
    )
    text = str(report)
    assert not report.holds
    assert "degraded" in text and "12.5" in text
    assert "no answer" in text and "StageError: stock" in text
    assert "2 drills, 1 without an answer" in text


def test_an_empty_list_is_an_answer() -> None:
    assert DrillReport((Drilled("in_stock", "empty", 0, 0.01),)).holds
