"""One line of progress where somebody looks, none in logs."""

from __future__ import annotations

import io
import sys

import pytest

import recokit as rk
from recokit._utils import progress
from recokit._utils.progress import progress_line, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return the terminal that the test's errors go to; pytest has its own until the test runs."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_FIRST", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    return stream


def test_fit_says_in_one_line_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    stages = [rk.candidates.ItemKNN(), rk.features.Standard(), rk.rankers.LogisticRegression()]
    rk.Pipeline(stages).fit(rk.testing.toy_dataset(), label_window="7D")
    shown = terminal.getvalue()
    assert shown.count("\n") == 1 and shown.endswith("\n")
    for name in ("item_knn learns from", "window 1 of", "logistic_regression learns from", "fit: done after"):
        assert name in shown
    assert max(map(len, shown.split("\r"))) < 80


def test_nothing_is_said_in_logs_or_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    data = rk.testing.toy_dataset()
    rk.Pipeline([rk.candidates.ItemKNN()]).fit(data, progress=False)
    assert terminal.getvalue() == ""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    rk.Pipeline([rk.candidates.ItemKNN()]).fit(data)
    assert log.getvalue() == ""
    rk.Pipeline([rk.candidates.ItemKNN()]).fit(data, progress=True)
    assert "fit: done" in log.getvalue()


def fails() -> None:
    with progress_line("fit"):
        say("first")
        raise ValueError("no")


def test_a_failure_ends_the_line_and_short_work_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    with pytest.raises(ValueError, match="no"):
        fails()
    assert terminal.getvalue().rstrip().endswith("s") and "fit: failed" in terminal.getvalue()
    monkeypatch.setattr(progress, "_FIRST", 60.0)
    terminal.truncate(0)
    terminal.seek(0)
    with progress_line("fit"):
        say("first")
    assert terminal.getvalue() == ""
