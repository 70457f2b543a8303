"""Time scan: whether what stages answer follows the time that they are asked about, as it does in the baseline.

A frozen clock, a cache and a table that stands still answer as of two times alike, or as of another time than asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit.data import DAY, Candidates, Requests, Retrieved
from recokit.protocols import Role, traits_of
from recokit.typing import BoolArray, FloatArray

#: Days back that stages are asked about, the first for whether an answer changes at all.
LAGS = (84.0, 28.0, 7.0, 1.0)
#: Items of a source's answer that are compared, and candidates whose features are.
DEPTH, MAX_CANDIDATES = 20, 2_000
#: A time after all others, also where they are in milliseconds.
FAR = 1e14
#: Share of the baseline's values that a block must have to be asked about the time.
KNOWN = 0.5
#: Share of the candidates for which a feature must have another value to have changed.
CHANGED = 0.05


@dataclass(frozen=True)
class TimeScan:
    """How a stage's answers follow the time.

    Parameters
    ----------
    changed : float
        Share of the answers (of users, or of features) that are others twelve weeks earlier.
    usual_changed : float
        The same of the baseline's stage; NaN without one.
    same : float
        Overlap of the answers with those of the baseline's stage as of the same time; NaN where it is not known.
    ahead : float
        Seconds after the request of the middle one of the events that a hydrator knows from after it; 0 without any.
    contained : float
        Share of the items answered that the baseline's stage answers too, of now or of before.
    differs : bool
        Whether there are answers, and not one and the same for everyone.
    lag : float
        Of the times looked at, the days back from which the baseline's answers are most like these; 0 for now.
    same_then : float
        Overlap with the baseline's answers of that time.
    """

    changed: float
    usual_changed: float = float("nan")
    same: float = float("nan")
    lag: float = 0.0
    same_then: float = float("nan")
    contained: float = float("nan")
    differs: bool = True
    ahead: float = 0.0


def scan_times(
    nodes: Sequence[Any], usual: Mapping[str, Any], requests: Requests, batch: Candidates | None
) -> dict[str, TimeScan]:
    """Ask hydrators, sources and feature blocks about several times.

    Parameters
    ----------
    nodes : sequence
        Of the pipeline.
    usual : mapping of str to object
        Stages of the baseline in the same codes, by path; empty without one.
    requests : Requests
        Of some users, as they come, without what hydrators add.
    batch : Candidates, optional
        Candidates of some users, whose features are asked for.
    """
    hydrators = [
        usual.get(node.name, node.stage)
        for node in nodes
        if node.role is Role.HYDRATOR and requests.ragged.keys().isdisjoint(traits_of(node.stage).provides)
    ]
    moments = {lag: _hydrated(hydrators, _at(requests, lag)) for lag in (0.0, *LAGS)}
    scans: dict[str, TimeScan] = {}
    for node in nodes:
        if node.name.startswith("fallback."):
            continue
        before = usual.get(node.name)
        try:
            if node.role is Role.HYDRATOR:
                scans[node.name] = _of_hydrator(node.stage, before, requests)
            elif node.role is Role.SOURCE:
                scans[node.name] = _of_source(node.stage, before, moments)
            elif node.role is Role.FEATURIZER and batch is not None and len(batch):
                scans[node.name] = of_features(node.stage, before, batch)
        except Exception:  # the run itself has recorded what fails
            continue
    return scans


def of_features(stage: Any, usual: Any, batch: Candidates) -> TimeScan:
    """Return how the features of some candidates follow the time."""
    rows = np.zeros(len(batch), np.bool_)
    rows[:MAX_CANDIDATES] = True
    now = batch.compress(rows)
    then = replace(now, requests=_at(now.requests, LAGS[0]))
    here = np.asarray(stage.featurize(now), np.float64)
    mine = _changed_features(here, np.asarray(stage.featurize(then), np.float64))
    if usual is None:
        return TimeScan(float(mine.mean()), differs=bool(np.isfinite(here).any()))
    there = np.asarray(usual.featurize(now), np.float64)
    usually = _changed_features(there, np.asarray(usual.featurize(then), np.float64))
    # Values that are missing do not follow anything.
    differs = bool(np.isfinite(here).mean() > KNOWN * np.isfinite(there).mean())
    alike = (
        np.isclose(here, there, rtol=1e-4, atol=1e-6, equal_nan=True)
        if here.shape == there.shape
        else np.zeros(1)
    )
    same = float((alike.mean(axis=0) > 1.0 - CHANGED).mean())
    return TimeScan(float(mine.mean()), float(usually.mean()), same, differs=differs)


def _changed_features(here: FloatArray, there: FloatArray) -> BoolArray:
    """Tell which features have other values as of another time, (F,) bool."""
    same = (here == there) | (np.isnan(here) & np.isnan(there))
    return np.asarray((~same).mean(axis=0) > CHANGED)


def _at(requests: Requests, lag: float) -> Requests:
    return replace(requests, now=requests.now - lag * DAY) if lag else requests


def _hydrated(hydrators: Sequence[Any], requests: Requests) -> Requests:
    for stage in hydrators:
        try:
            answer = stage.hydrate(requests)
        except Exception:  # the run itself has recorded what fails
            continue
        requests = requests.hydrated(answer.columns, answer.ragged)
    return requests


def _of_hydrator(stage: Any, usual: Any, requests: Requests) -> TimeScan:
    def answers(one: Any, lag: float) -> list[list[int]]:
        ragged = one.hydrate(_at(requests, lag)).ragged
        return [
            [item for lists in ragged.values() for item in lists.row(row).tolist()]
            for row in range(len(requests))
        ]

    mine, then = answers(stage, 0.0), answers(stage, LAGS[0])
    changed, differs, ahead = _changed(mine, then), _differ(mine), _ahead(stage, requests)
    if usual is None:
        return TimeScan(changed, differs=differs, ahead=ahead)
    theirs, theirs_then = answers(usual, 0.0), answers(usual, LAGS[0])
    contained = _contained(mine, theirs)
    return TimeScan(changed, _changed(theirs, theirs_then), contained=contained, differs=differs, ahead=ahead)


def _ahead(stage: Any, requests: Requests) -> float:
    """Return how far after the requests the events lie that a hydrator knows from after them, their middle one."""
    later = replace(requests, now=np.full(len(requests), FAR))
    times = [
        lists.columns["timestamp"] - requests.now[lists.rows]
        for lists in stage.hydrate(later).ragged.values()
        if "timestamp" in lists.columns
    ]
    beyond = np.concatenate([np.zeros(0), *times])
    beyond = beyond[beyond > 0]
    return float(np.median(beyond)) if len(beyond) else 0.0


def _of_source(stage: Any, usual: Any, moments: Mapping[float, Requests]) -> TimeScan:
    def answers(one: Any, lag: float) -> list[list[int]]:
        answer: Retrieved = one.retrieve(moments[lag], DEPTH)
        return [answer.item[a:b].tolist() for a, b in itertools.pairwise(answer.offsets.tolist())]

    mine, then = answers(stage, 0.0), answers(stage, LAGS[0])
    changed, differs = _changed(mine, then), _differ(mine)
    if usual is None:
        return TimeScan(changed, differs=differs)
    theirs = {lag: answers(usual, lag) for lag in moments}
    overlap = {lag: _overlap(mine, lists) for lag, lists in theirs.items()}
    lag = max(overlap, key=lambda one: (overlap[one], -one))
    return TimeScan(
        changed=changed,
        usual_changed=_changed(theirs[0.0], theirs[LAGS[0]]),
        same=overlap[0.0],
        lag=lag,
        same_then=overlap[lag],
        contained=_contained(mine, theirs[0.0]),
        differs=differs,
    )


def _changed(now: list[list[int]], then: list[list[int]]) -> float:
    return _share_of(np.array([a != b for a, b in zip(now, then, strict=True)], np.float64))


def _differ(answers: list[list[int]]) -> bool:
    """Whether there are answers, and not one and the same for everyone."""
    return len({tuple(one) for one in answers if one}) > 1


def _contained(mine: list[list[int]], theirs: list[list[int]]) -> float:
    shares = [len(set(a) & set(b)) / len(set(a)) for a, b in zip(mine, theirs, strict=True) if a]
    return _share_of(np.array(shares))


def _overlap(mine: list[list[int]], theirs: list[list[int]]) -> float:
    shares = [
        len(set(a) & set(b)) / max(len(set(a) | set(b)), 1)
        for a, b in zip(mine, theirs, strict=True)
        if a or b
    ]
    return _share_of(np.array(shares))


def _share_of(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")
