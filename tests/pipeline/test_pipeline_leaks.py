"""Features that know the labels: fit names them in its report, and says nothing of honest ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import DAY, Candidates, Dataset
from recokit.datasets import make_marketplace
from recokit.errors import ConfigurationError

FIT: dict[str, Any] = {"label_window": "5D", "windows": 2}


class TargetEncoded:
    """How often an item was taken in the rows that are learned from."""

    names = ("item_rate",)

    def __init__(self, rate: np.ndarray) -> None:
        self.rate = rate

    def featurize(self, candidates: Candidates) -> np.ndarray:
        return self.rate[candidates.item][:, None].astype(np.float32)


class Foresight:
    """Whether the user takes the item within days, seen through a little noise."""

    names = ("interest",)

    def __init__(self, events: Dataset) -> None:
        log = events.interactions
        self.pairs, self.times = log.user * 1_000 + log.item, log.timestamp

    def featurize(self, candidates: Candidates) -> np.ndarray:
        soon = (self.times >= candidates.now[:1]) & (self.times < candidates.now[:1] + 5 * DAY)
        known = np.isin(candidates.user * 1_000 + candidates.item, self.pairs[soon])
        return (known + 1e-3 * np.sin(candidates.item))[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def events() -> Dataset:
    data = make_marketplace(150, 100, days=60, seed=11).dataset
    return data.before(data.interactions.timestamp[0] + 40 * DAY)


def pipeline(*more: Any, sources: Any = None) -> rk.Pipeline:
    honest = features.Assemble([features.ItemActivity(windows=("7D",)), features.UserItem()])
    found = sources or candidates.Popular(half_life="14D")
    return rk.Pipeline([rk.Step(found, limit=15), honest, *more, rankers.LogisticRegression()])


def test_honest_features_are_not_named(events: Dataset) -> None:
    report = pipeline().fit(events, **FIT).training_report_
    assert report is not None and not report.leaks and "LEAK" not in str(report)


def test_a_target_encoded_feature_is_named(events: Dataset) -> None:
    data = pipeline().training_data(events, **FIT).data
    taken = np.bincount(data.item, weights=data.label > 0, minlength=events.n_items + 1)
    shown = np.bincount(data.item, minlength=events.n_items + 1)
    report = pipeline(TargetEncoded((taken + 1) / (shown + 20))).fit(events, **FIT).training_report_
    assert report is not None and list(report.leaks) == ["item_rate"]
    assert "LEAK        item_rate" in str(report) and "item_rate" in report._repr_html_()


def test_a_feature_that_foresees_is_named(events: Dataset) -> None:
    report = pipeline(Foresight(events)).fit(events, **FIT).training_report_
    assert report is not None and list(report.leaks) == ["interest"]


def test_a_source_fitted_on_the_label_window_is_refused(events: Dataset) -> None:
    class Ready:
        """A source that was fitted elsewhere, and is not fitted again."""

        def __init__(self, source: Any) -> None:
            self.source, self.fitted_until_ = source, source.fitted_until_

        def retrieve(self, requests: Any, limit: int) -> Any:
            return self.source.retrieve(requests, limit)

    knows_the_labels = Ready(candidates.Popular(half_life="14D").fit(events))
    with pytest.raises(
        ConfigurationError, match=r"found ready fitted on events until .* hint: a source given ready"
    ):
        pipeline(sources=knows_the_labels).fit(events, **FIT)
