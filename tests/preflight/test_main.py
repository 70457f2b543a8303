"""The saved checklist in CI, and the quality of lists for strangers."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit.data import Retrieved
from recokit.data.validation.report import Check
from recokit.errors import ConfigurationError, DataError
from recokit.preflight import PreflightReport
from recokit.preflight.__main__ import main


@pytest.fixture
def saved(tmp_path):
    statuses = {
        "data.valid": "pass",
        "rules.stock": "not checked",
        "serving.outcomes": "not checked",
        "data.drift": "warn",
    }
    report = PreflightReport(
        "Launch", tuple(Check(name, status, "found") for name, status in statuses.items())
    )
    report.save(tmp_path / "report.json")
    return str(tmp_path / "report.json")


def test_what_was_not_checked_does_not_pass(saved, capsys):
    assert main([saved]) == 1
    assert "not checked: rules.stock, serving.outcomes" in capsys.readouterr().out
    assert main([saved, "--allow-unchecked", "serving.outcomes"]) == 1
    assert "in the way: rules.stock" in capsys.readouterr().out
    assert main([saved, "--allow-unchecked", "serving.outcomes", "rules.stock"]) == 0
    assert "in the way: nothing" in capsys.readouterr().out
    assert main([saved, "--allow-unchecked"]) == 0
    assert main([saved, "--strict", "--allow-unchecked"]) == 1
    with pytest.raises(ConfigurationError, match="allow_unchecked='rules'"):
        main([saved, "--allow-unchecked", "rules"])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"checks": 3}', '{"checks": [{}], "title": "x"}'])
def test_another_file_is_an_error(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match="no launch checklist"):
        main([str(tmp_path / "x.json")])
    with pytest.raises(DataError, match="no launch checklist"):
        main([str(tmp_path / "none.json")])


class Rare:
    """A source that has nothing but the least popular items."""

    def fit(self, dataset):
        counts = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1)[1:]
        self.items_ = np.argsort(counts, kind="stable") + 1
        return self

    def retrieve(self, requests, limit):
        items = np.tile(self.items_[:limit], len(requests))
        offsets = np.arange(len(requests) + 1) * len(self.items_[:limit])
        return Retrieved(
            offsets, items, np.tile(-np.arange(len(self.items_[:limit]), dtype=np.float32), len(requests))
        )


@pytest.mark.parametrize(
    ("source", "statuses"), [(Rare(), {"fail"}), (rk.candidates.Popular(), {"pass", "warn"})]
)
def test_lists_for_strangers_are_judged(source, statuses):
    data = rk.datasets.make_marketplace(400, 150, days=40, seed=3).dataset
    train, test = data.split_at(data.until - 8 * 86_400)
    pipeline = rk.Pipeline([source]).fit(train)
    check = rk.preflight(pipeline, train, test, n_requests=1, budget_ms=5000)["quality.cold_start"]
    assert check.status in statuses, str(check)
    assert "of the NDCG@10 of popular items" in check.message


def test_each_metric_is_held_against_the_baseline():
    data = rk.datasets.make_marketplace(400, 150, days=40, seed=3).dataset
    train, test = data.split_at(data.until - 8 * 86_400)
    good = rk.Pipeline([rk.candidates.Popular()]).fit(train)
    # The same ten first items, and nothing after them: only longer lists tell.
    short = rk.Pipeline([rk.Step(rk.candidates.Popular(), limit=10)]).fit(train)
    check = rk.preflight(short, train, test, baseline=good, n_requests=1, budget_ms=5000)["quality.baseline"]
    assert check.status == "fail" and "Recall@50" in check.message
