"""Simulated traffic for monitors: traces of a real pipeline, at other times, with the incidents that are planted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import recokit as rk
from recokit import candidates, diversity, features, monitoring, rankers, rules
from recokit.data import Dataset, Requests
from recokit.datasets import make_marketplace
from recokit.trace import StageEvent, Trace

__all__ = ["DAY", "START", "Incident", "Traffic", "make_monitors"]

DAY, HOUR = 86_400.0, 3_600.0
START = 20_087 * DAY  # a Monday
K = 10


@dataclass(frozen=True)
class Incident:
    """What is wrong with the traffic."""

    slow: float = 1.0
    dead: str = ""
    one_list: bool = False
    arm: dict[str, float] = field(default_factory=dict)
    cold: float = 1.0


HEALTHY = Incident()


class _Keep:
    wants_ranked = True

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def observe(self, trace: Trace) -> None:
        self.traces.append(trace)


class Traffic:
    """Requests of simulated users, in waves: some minutes of each hour are busy.

    Each request is the trace of a real run of a pipeline, with durations drawn anew: lognormal around each stage's
    median, a fifth longer in the afternoon than at night.
    """

    def __init__(self, *, n_users: int = 3_000, seed: int = 0, click: float = 0.12) -> None:
        self.rng = np.random.default_rng(seed)
        self.data, self.templates = _templates()
        self.click = click
        of = self.rng.integers(0, len(self.templates), n_users)
        self.template_of = of.tolist()
        self.taste = np.exp(self.rng.normal(0, 0.4, n_users) - 0.08)
        self.group = np.where(self.rng.random(n_users) < 0.5, "A", "B").tolist()
        catalog = monitoring.Catalog.of(self.data)
        self.cold = [bool(catalog.cold_of(trace)[0]) for trace in self.templates]
        names = {event.name for trace in self.templates for event in trace.events}
        self.usual = {
            name: float(np.median([e.seconds for t in self.templates for e in t.events if e.name == name]))
            for name in names
        }
        self.ids = self.data.item_ids.ids

    def hour(
        self, start: float, *, seconds: float, rate: float, incident: Incident = HEALTHY
    ) -> Iterator[Any]:
        """Give (trace, clicked item ids) of the busy part of an hour, in order."""
        n = self.rng.poisson(seconds * rate)
        times = np.sort(start + self.rng.uniform(0, seconds, n))
        users = self.rng.integers(0, len(self.template_of), n).tolist()
        noise = np.exp(self.rng.normal(0, 0.35, (n, 24)))
        noise *= incident.slow * (1 + 0.1 * np.sin((start % DAY) / DAY * 2 * np.pi - 2))
        draws = self.rng.random((n, K))
        for i, (now, user) in enumerate(zip(times.tolist(), users, strict=True)):
            place = 0 if incident.one_list else self.template_of[user]
            trace = self._trace(self.templates[place], now, user, noise[i], incident)
            share = self.click * self.taste[user] * incident.arm.get(self.group[user], 1.0)
            share *= incident.cold if self.cold[place] else 1.0
            items = trace.selected.item
            yield trace, self.ids[items[draws[i, : len(items)] < share] - 1].tolist()

    def _trace(self, of: Trace, now: float, user: int, noise: np.ndarray, incident: Incident) -> Trace:
        requests = _copy(Requests, of.requests, now=np.array([now]), columns={"group": [self.group[user]]})
        events, total = [], 0.0
        for event, factor in zip(of.events, noise.tolist(), strict=False):
            seconds = self.usual[event.name] * factor
            total += seconds
            dead = {"n_out": 0} if event.name == incident.dead else {}
            events.append(_copy(StageEvent, event, seconds=seconds, **dead))
        name = np.empty(1, object)
        name[0] = f"visitor-{user}"
        return _copy(Trace, of, requests=requests, events=tuple(events), seconds=total, users=name)


def make_monitors(data: Dataset, *, baseline: Any = None) -> list[monitoring.Monitor]:
    """Return one monitor of each class."""
    catalog = monitoring.Catalog.of(data)
    return [
        monitoring.LatencyMonitor(baseline=baseline),
        monitoring.HealthMonitor(),
        monitoring.FunnelMonitor(),
        monitoring.ListMonitor(catalog),
        monitoring.FeatureMonitor(),
        monitoring.OutcomeMonitor(catalog),
    ]


def _copy(cls: type, of: Any, **changed: Any) -> Any:
    """Return a frozen dataclass with other fields, without its checks: a million are made."""
    new = object.__new__(cls)
    new.__dict__.update(of.__dict__, **changed)
    return new


@cache
def _templates() -> tuple[Dataset, list[Trace]]:
    """Run a whole pipeline once for every user of a marketplace, and for some who are not known."""
    data, keep = make_marketplace(400, 300, seed=5).dataset, _Keep()
    pipeline = rk.Pipeline(
        [
            candidates.Merge(
                [candidates.ItemKNN(), candidates.History(), candidates.Popular(half_life="14D")], limit=100
            ),
            rules.NotOwned(except_for="consumable"),
            features.Assemble([features.ItemActivity(), features.Item("price"), features.SourceScores()]),
            rankers.Weighted({"item_price": 0.001, "source_count": 1.0}),
            rules.MaxShare("category", 0.4),
            diversity.MMR(0.7, columns=["category"]),
        ],
        fallback=candidates.Popular(half_life=None),
        observers=[keep],
    ).fit(data)
    for user in [f"stranger-{i}" for i in range(100)] + data.user_ids.ids.tolist():
        pipeline.recommend([user], k=K, now=data.until)
    return data, keep.traces
