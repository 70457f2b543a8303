"""A small pipeline whose traces the monitors' tests change at will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, monitoring, rankers, rules
from recokit.data import Dataset
from recokit.testing import toy_dataset
from recokit.trace import StageEvent, Trace

DAY = 86_400.0
#: Midnight, a Monday.
START = 20_087 * DAY


class Kept:
    wants_ranked = True

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def observe(self, trace: Trace) -> None:
        self.traces.append(trace)


@pytest.fixture(scope="session")
def toy() -> Dataset:
    return toy_dataset(n_users=40, n_items=60, n_events=900)


def build(data: Dataset, observers: Any) -> rk.Pipeline:
    return rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()]),
            rules.InStock("in_stock"),
            features.Item("price"),
            features.SourceScores(),
            rankers.Weighted({"item_price": 0.01, "popular_score": 1.0}),
            rules.MaxShare("category", 0.4),
            diversity.TopK(),
        ],
        fallback=candidates.Popular(half_life=None),
        observers=observers,
    ).fit(data)


@pytest.fixture(scope="session")
def pipeline(toy: Dataset) -> rk.Pipeline:
    return build(toy, [])


@pytest.fixture(scope="session")
def make_trace(toy: Dataset) -> Callable[..., Trace]:
    """Return a maker of traces of one request: a real run's, at another time, with its stages changed."""
    kept = Kept()
    served = build(toy, [kept])
    users = [*toy.user_ids.ids.tolist(), None]
    for user in users:
        served.recommend([user], k=8, now=toy.until, context={"group": ["A"]})
    by_user = dict(zip(users, kept.traces, strict=True))

    def make(
        user: Any = "user-1", *, now: float = START, group: str = "A", slow: float = 1.0, **changed: Any
    ) -> Trace:
        trace = by_user[user]
        requests = replace(trace.requests, now=np.array([now]), columns={"group": np.array([group], object)})
        events = tuple(changed_event(event, slow, changed.get(event.name)) for event in trace.events)
        return replace(trace, requests=requests, events=events, seconds=trace.seconds * slow)

    return make


def changed_event(event: StageEvent, slow: float, more: dict[str, Any] | None) -> StageEvent:
    return replace(event, **{"seconds": event.seconds * slow, **(more or {})})


@pytest.fixture
def monitors(toy: Dataset, pipeline: rk.Pipeline) -> list[monitoring.Monitor]:
    catalog = monitoring.Catalog.of(toy)
    return [
        monitoring.LatencyMonitor(),
        monitoring.HealthMonitor(),
        monitoring.FunnelMonitor(),
        monitoring.ListMonitor(catalog),
        monitoring.FeatureMonitor(stages={"item": pipeline["item"]}),
        monitoring.OutcomeMonitor(catalog),
    ]
