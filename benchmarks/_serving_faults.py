"""The fault grid of the serving benchmark: every place of a service fails in every way, while requests come."""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import recokit as rk
from recokit import candidates, rules
from recokit.data import Retrieved
from recokit.protocols import role_of
from recokit.serving import ListCache, Precomputed, Service
from recokit.testing import toy_dataset

__all__ = ["FAULTS", "PLACES", "Cell", "grid"]

PLACES = ("stock", "features", "sessions", "source", "ranker", "store", "queue")
FAULTS = ("refuse", "hang", "trickle", "garbage", "slow", "intermittent")
_VERBS = {
    "filter": "keep",
    "featurizer": "featurize",
    "hydrator": "hydrate",
    "source": "retrieve",
    "scorer": "score",
}
#: Item codes that are out of stock: whoever shows one breaks a hard rule.
SOLD_OUT = (1, 2, 3, 4, 5)
_THREADS = 16
#: Seconds beyond its budget after which a request counts as not answered.
_SILENT = 1.0


@dataclass(frozen=True)
class Cell:
    """What came of the requests while one place failed in one way."""

    requests: int
    silent: int
    broken: int
    seconds: np.ndarray
    sources: dict[str, int]

    @property
    def p999(self) -> float:
        """The 99.9th percentile of the seconds."""
        return float(np.percentile(self.seconds, 99.9))

    def __str__(self) -> str:
        p50 = 1e3 * float(np.percentile(self.seconds, 50))
        return (
            f"{self.requests} requests, {self.silent} silent, {self.broken} broken, p50 {p50:.0f} ms, "
            f"p99.9 {1e3 * self.p999:.0f} ms, {self.sources}"
        )


class Fault:
    """A way to fail, switched on once the service is up."""

    def __init__(self, kind: str, budget: float) -> None:
        self.kind, self.budget, self.on = kind, budget, False
        self.ended = threading.Event()
        self._count = itertools.count()

    def __call__(self, answer: Callable[[], Any]) -> Any:
        """Return what a place answers."""
        if not self.on:
            return answer()
        if self.kind == "refuse" or (self.kind == "intermittent" and next(self._count) % 3 == 0):
            raise ConnectionRefusedError("refused")
        if self.kind == "hang":
            self.ended.wait(600)
        elif self.kind == "slow":
            self.ended.wait(0.8 * self.budget)
        elif self.kind == "trickle":
            for _ in range(30):  # something comes all the time, and never the end
                self.ended.wait(0.1 * self.budget)
        found = answer()
        return _garbage(found) if self.kind == "garbage" else found

    def __deepcopy__(self, memo: Any) -> Fault:
        return self


def _garbage(found: Any) -> Any:
    if isinstance(found, Retrieved):
        return replace(found, item=found.item + 10**6)
    if isinstance(found, rk.Hydrated):
        return rk.Hydrated({name: column[:-1] for name, column in found.columns.items()}, {})
    return found[:-1] if isinstance(found, np.ndarray) else "garbage"


def _failing(stage: Any, fault: Fault, *, waits: bool) -> Any:
    """Return a copy of a stage that fails as it is told."""
    kind, verb = type(stage), _VERBS[role_of(stage).value]

    def altered(self: Any, *args: Any) -> Any:
        return fault(lambda: getattr(kind, verb)(self, *args))

    made = copy.copy(stage)
    made.__class__ = type(
        kind.__name__, (kind,), {verb: altered, "io_bound": waits, "__module__": kind.__module__}
    )
    return made


class _Session:
    """A hydrator that knows what users saw last."""

    provides = ("context.seen",)

    def hydrate(self, requests: rk.Requests) -> rk.Hydrated:
        return rk.Hydrated({"seen": np.arange(len(requests))})


class _Block:
    """Features by item."""

    def __init__(self, name: str) -> None:
        self.names = (name,)

    def featurize(self, batch: rk.Candidates) -> np.ndarray:
        return (batch.item % 7).astype(np.float32)[:, None]


class _Ranker:
    """Scores items by the features there are."""

    def score(self, batch: rk.Candidates) -> np.ndarray:
        return np.nan_to_num(batch.features).sum(axis=1).astype(np.float32) - 1e-3 * batch.item.astype(
            np.float32
        )


def _service(place: str, fault: Fault, budget_ms: float) -> Service:
    data = toy_dataset()
    stock = np.ones(data.n_items + 1)
    stock[list(SOLD_OUT)] = 0

    def at(name: str, stage: Any, *, waits: bool = True) -> Any:
        return _failing(stage, fault, waits=waits) if place == name else stage

    stages = [
        at("sessions", _Session()),
        candidates.Merge([at("source", candidates.ItemKNN()), candidates.Popular(half_life="30D")]),
        at("stock", rules.InStock(stock)),
        rk.Step(at("features", _Block("own"), waits=False), name="features"),
        rk.Step(at("store", _Block("stored")), name="store"),
        at("ranker", _Ranker(), waits=False),
    ]
    pipeline = rk.Pipeline(stages, clock=lambda: data.until, max_hanging=8).fit(data)
    fallback = Precomputed(data.item_ids.ids.tolist())
    lists = ListCache(fresh="1s", stale="2s", max_lists=50)
    service = Service(pipeline, fallback=fallback, budget_ms=budget_ms, lists=lists).start()
    if place == "queue":
        engine, run = service._engine, service._engine.run
        engine.run = lambda asks: fault(
            lambda: run(asks[:-1] if fault.on and fault.kind == "garbage" else asks)
        )
    return service


def _cell(place: str, kind: str, requests: int, budget_ms: float) -> Cell:
    fault = Fault(kind, budget_ms / 1e3)
    service = _service(place, fault, budget_ms)
    sold = set(service._model().pipeline.schema.item_ids.decode(np.array(SOLD_OUT)).tolist())
    fault.on = kind != "healthy"

    def one(n: int) -> tuple[float, str, bool]:
        began = time.perf_counter()
        try:
            answer = service.recommend_now(f"user-{n % 97}", k=5 + n % 3)
        except rk.errors.Overloaded:
            return time.perf_counter() - began, "shed", False
        except Exception as error:
            return float("inf"), type(error).__name__, False
        return time.perf_counter() - began, answer.source, bool(sold & set(answer.ids()))

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(one, range(requests)))
    fault.ended.set()
    service.stop()
    seconds = np.array([took for took, _, _ in found])
    sources = [source for _, source, _ in found]
    return Cell(
        requests,
        int(np.count_nonzero(seconds > budget_ms / 1e3 + _SILENT)),
        sum(broken for _, _, broken in found),
        np.minimum(seconds, 600.0),
        {source: sources.count(source) for source in sorted(set(sources))},
    )


def grid(
    requests: int,
    *,
    budget_ms: float = 100.0,
    places: tuple[str, ...] = PLACES,
    faults: tuple[str, ...] = FAULTS,
) -> dict[tuple[str, str], Cell]:
    """Return what came of so many requests in each cell, and in a healthy control."""
    found = {("none", "healthy"): _cell("none", "healthy", requests, budget_ms)}
    for place, fault in itertools.product(places, faults):
        found[place, fault] = _cell(place, fault, requests, budget_ms)
    return found
