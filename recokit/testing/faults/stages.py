"""Copies of fitted stages of any role: with other attributes, another answer, late or failing."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from recokit._kernels.segments import offsets_to_rows, rows_to_offsets
from recokit._utils.params import clone
from recokit.data import Candidates, Dataset, Requests, Retrieved
from recokit.data.requests import Hydrated
from recokit.errors import ConfigurationError
from recokit.protocols import Refittable, role_of
from recokit.testing._answers import VERBS
from recokit.typing import BoolArray, FloatArray, IntArray, UInt64Array

T = TypeVar("T")

#: Places of the table of items that a fault hits: codes beyond it start over.
CODES = 1 << 20


def with_attributes(stage: T, **attributes: Any) -> T:
    """Return a copy with other attributes."""
    twin = copy.copy(stage)
    twin.__dict__.update(attributes)
    return twin


def changed(stage: T, change: Callable[..., Any]) -> T:
    """Return a copy whose verb is ``change(call, *args)``; its class has the name that it had."""
    kind = type(stage)
    verb = VERBS[role_of(stage)]
    answer = getattr(kind, verb)

    def altered(self: Any, *args: Any) -> Any:
        return change(lambda *given: answer(self, *given), *args)

    twin = copy.copy(stage)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    twin.__class__ = type(kind.__name__, (kind,), {verb: altered, **names})
    return twin


def answering(stage: T, change: Callable[[Any, Any], Any]) -> T:
    """Return a copy whose answers are changed, given the batch that they are for."""
    return changed(stage, lambda call, batch, *args: change(call(batch, *args), batch))


def with_option(stage: T, **options: Any) -> T:
    """Return a copy with other options: settings that someone got wrong.

    Raises
    ------
    ConfigurationError
        If the stage has no such option.
    """
    for name in options:
        if name not in vars(stage):
            raise ConfigurationError(f"found no option {name!r} of {stage!r}; expected one that it has")
    return with_attributes(stage, **options)


def stale(stage: T, dataset: Dataset) -> T:
    """Return a clone that knows only this, older, dataset."""
    # Networks have an option of that name, which is no method.
    again = isinstance(stage, Refittable) and callable(stage.refit)
    fitted: T = stage.refit(dataset) if again else clone(stage).fit(dataset)  # type: ignore[attr-defined]
    return fitted


def delayed(stage: T, seconds: float) -> T:
    """Return a copy that takes so much longer for each call."""

    def change(call: Callable[..., Any], *args: Any) -> Any:
        time.sleep(seconds)
        return call(*args)

    return changed(stage, change)


def raising(stage: T, share: float, seed: int, error: Exception | None = None) -> T:
    """Return a copy that raises on a share of its rows, by user and time, and answers the others."""

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        requests = batch.requests if isinstance(batch, Candidates) else batch
        rows = np.unique(batch.row) if isinstance(batch, Candidates) else np.arange(len(requests))
        if len(rows) and (hash_share(requests.seed[rows], seed) < share).any():
            raise error if error is not None else ConnectionError("connection reset by peer")
        return call(batch, *args)

    return changed(stage, change)


def only_for(stage: T, faulty: T, hit: Callable[[Requests], BoolArray]) -> T:
    """Return a copy that is faulty for some requests only.

    Parameters
    ----------
    stage, faulty : object
        A hydrator, source, filter, featurizer or scorer, and its faulty copy.
    hit : callable
        From requests to the rows (B,) bool that get the faulty answer.
    """
    verb = VERBS[role_of(stage)]

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        good, bad = call(batch, *args), getattr(faulty, verb)(batch, *args)
        if isinstance(good, Hydrated):
            return _hydrated_from(good, bad, hit(batch))
        if isinstance(good, Retrieved):
            rows = np.flatnonzero(hit(batch))
            return _rows_from(good, bad, np.isin(np.arange(len(batch)), rows))
        rows_hit = hit(batch.requests)[batch.row]
        return np.where(rows_hit[:, None] if good.ndim == 2 else rows_hit, bad, good)

    return changed(stage, change)


def _hydrated_from(good: Hydrated, bad: Hydrated, hit: BoolArray) -> Hydrated:
    columns = {name: np.where(hit, bad.columns[name], column) for name, column in good.columns.items()}
    ragged = {name: lists.merge(bad.ragged[name], hit) for name, lists in good.ragged.items()}
    return Hydrated(columns, ragged)


def _rows_from(good: Retrieved, bad: Retrieved, hit: BoolArray) -> Retrieved:
    row_good, row_bad = offsets_to_rows(good.offsets), offsets_to_rows(bad.offsets)
    keep_good, keep_bad = ~hit[row_good], hit[row_bad]
    row = np.concatenate([row_good[keep_good], row_bad[keep_bad]])
    order = np.argsort(row, kind="stable")
    item = np.concatenate([good.item[keep_good], bad.item[keep_bad]])[order]
    score = np.concatenate([good.score[keep_good], bad.score[keep_bad]])[order]
    return Retrieved(rows_to_offsets(row[order], len(hit)), item, score)


def hit_items(share: float, seed: int) -> Callable[[IntArray], BoolArray]:
    """Return a function that tells which items are among a share of all of them."""
    hit = np.random.default_rng(seed).random(CODES) < share
    return lambda item: np.asarray(hit[item % CODES])


def hash_share(seed_of_row: UInt64Array, seed: int) -> FloatArray:
    """Return a number from 0 up to 1 for each row; which rows are hit is repeatable, whoever asks."""
    # A weak hash will do: it has to be repeatable, not random.
    key = (seed_of_row + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((key >> np.uint64(11)).astype(np.float64) / 2.0**53)


def as_of(stage: T, when: Callable[[FloatArray], FloatArray]) -> T:
    """Return a copy that takes another time for that of the requests: a clock that is wrong, or another zone's."""

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        if isinstance(batch, Candidates):
            requests = dataclasses.replace(batch.requests, now=when(batch.requests.now))
            return call(dataclasses.replace(batch, requests=requests), *args)
        return call(dataclasses.replace(batch, now=when(batch.now)), *args)

    return changed(stage, change)


def for_users(stage: T, other: IntArray) -> T:
    """Return a copy that takes other users, by code, for those who ask: a join with the wrong key."""

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        if isinstance(batch, Candidates):
            requests = dataclasses.replace(batch.requests, user=other[batch.requests.user])
            return call(dataclasses.replace(batch, requests=requests), *args)
        return call(dataclasses.replace(batch, user=other[batch.user]), *args)

    return changed(stage, change)


def retrying(stage: T, share: float, seed: int, *, tries: int, wait: float) -> T:
    """Return a copy that fails inside on a share of its calls, waits, tries again and answers, and tells nobody."""

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        requests = batch.requests if isinstance(batch, Candidates) else batch
        if len(requests) and (hash_share(requests.seed, seed) < share).any():
            time.sleep(tries * wait)
        return call(batch, *args)

    return changed(stage, change)


def slow_for(stage: T, seconds: float, hit: Callable[[Requests], BoolArray]) -> T:
    """Return a copy that takes so much longer for some requests."""

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        requests = batch.requests if isinstance(batch, Candidates) else batch
        time.sleep(seconds * int(np.count_nonzero(hit(requests)) > 0))
        return call(batch, *args)

    return changed(stage, change)
