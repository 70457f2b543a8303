"""Facts: what checks on many users need of each user's run, small enough to keep for thousands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit.data import Candidates, Cap
from recokit.debugger.evidence import Evidence
from recokit.protocols import Role
from recokit.trace import StageEvent, Status
from recokit.typing import IntArray

#: Share of the features that must have the values that the baseline's have.
SAME_FEATURES = 0.9
#: Items of each list that are kept.
KEPT = 10

Items = tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """One user's run, in codes of the pipeline looked at.

    Parameters
    ----------
    cold : bool
        Whether the user has no history by the data.
    k : int
        List length wanted.
    shown : tuple of int
        The list.
    best : tuple of int
        The best by the first scorer.
    hydrated : mapping of str to tuple of int
        The newest items that each hydrator gives, by its path; those of a caller are left out.
    sources : mapping of str to tuple of int
        The first items of each source that goes by the user's lists, by its path.
    found : mapping of str to int
        Items that each source, and their fusion, gave, by path.
    relaxed : mapping of str to str
        Soft limits that yielded, with the constraints that state them.
    status : int
        :class:`recokit.trace.Status`.
    dry : str
        Where the candidates became fewer than the places, empty where they did not.
    newest : float
        Time of the newest event in the history, minus infinity without one.
    types : mapping of int to int
        Events of the history, by the code of their type.
    again : float
        Share of the events of the history that stand there before.
    features_changed : bool
        Whether a block of features has other values than the baseline's, asked about the same.
    usual : Facts, optional
        Of the baseline.
    """

    cold: bool
    k: int
    shown: Items
    best: Items
    hydrated: Mapping[str, Items]
    sources: Mapping[str, Items]
    found: Mapping[str, int]
    relaxed: Mapping[str, str]
    status: int
    dry: str = ""
    newest: float = float("-inf")
    types: Mapping[int, int] = field(default_factory=dict)
    again: float = 0.0
    features_changed: bool = False
    usual: Facts | None = field(default=None, repr=False)

    @classmethod
    def of(cls, evidence: Evidence) -> Facts:
        """Gather the facts of one user's run, and of the baseline's."""
        return cls(
            cold=evidence.cold_by_data,
            k=evidence.k,
            shown=_items(evidence, evidence.selected),
            best=_best(evidence),
            hydrated=_hydrated(evidence),
            sources=_sources(evidence),
            found=_found(evidence),
            relaxed={name: stage_of_limit(evidence, name) for name in relaxed_limits(evidence)},
            status=evidence.status,
            dry=_dry(evidence) if evidence.status >= Status.FALLBACK else "",
            newest=_newest(evidence),
            types=_types(evidence),
            again=_again(evidence),
            features_changed=_features_changed(evidence),
            usual=None if evidence.baseline is None else cls.of(evidence.baseline),
        )


#: How the reasons of a row name a soft limit that yielded.
RELAXED = ": relaxed to fill the list"


def relaxed_limits(evidence: Evidence) -> tuple[str, ...]:
    """Return the names of the limits that yielded in the user's list."""
    reasons = evidence.trace.reasons[evidence.row]
    return tuple(reason.removesuffix(RELAXED) for reason in reasons if reason.endswith(RELAXED))


def stage_of_limit(evidence: Evidence, limit: str) -> str:
    """Return the constraint that states a limit of this name."""
    ranked = evidence.ranked
    for node in evidence.captured.nodes if ranked is not None else ():
        if node.role is Role.CONSTRAINT and any(cap.name == limit for cap in caps_of(node.stage, ranked)):
            return str(node.name)
    return "selection"


def caps_of(stage: Any, batch: Candidates | None) -> tuple[Any, ...]:
    """Return the caps of a constraint; none where it fails on this batch."""
    try:
        return () if batch is None else tuple(cap for cap in stage.limit(batch) if isinstance(cap, Cap))
    except Exception:  # the run itself has recorded what fails, or the baseline's stage does not fit
        return ()


def raw_count(evidence: Evidence, event: StageEvent) -> int:
    """Return how many items a source gave for this user, before fusion."""
    by_row = event.detail.get("n_out_by_row")
    return int(by_row[evidence.row]) if by_row is not None else event.n_out


def _newest(evidence: Evidence) -> float:
    times = evidence.requests.lists("history").columns.get("timestamp")
    return float("-inf") if times is None or not len(times) else float(times.max())


def _types(evidence: Evidence) -> dict[int, int]:
    types = evidence.requests.lists("history").columns.get("event")
    if types is None or not len(types):
        return {}
    codes, counts = np.unique(types, return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist(), strict=True))


def _again(evidence: Evidence) -> float:
    history = evidence.requests.lists("history")
    times = history.columns.get("timestamp")
    if times is None or not len(times):
        return 0.0
    return 1.0 - len(set(zip(history.values.tolist(), times.tolist(), strict=True))) / len(times)


def _features_changed(evidence: Evidence) -> bool:
    """Whether a block of features has other values than the baseline's for the same candidates and requests."""
    times = [evidence.scan.times.get(name) for name in set(evidence.feature_stage.values())]
    return any(scan is not None and scan.same < SAME_FEATURES for scan in times)


def _items(evidence: Evidence, codes: IntArray) -> Items:
    mapped = codes[:KEPT] if evidence.codes is None else evidence.codes[codes[:KEPT]]
    return tuple(mapped.tolist())


def _best(evidence: Evidence) -> Items:
    for event in evidence.events("scorer"):
        if event.after is not None:
            here = evidence.place_in(event.after)
            order = np.argsort(-np.nan_to_num(event.after.score[here], nan=-np.inf), kind="stable")[:KEPT]
            return _items(evidence, event.after.item[here][order])
    return ()


def _hydrated(evidence: Evidence) -> dict[str, Items]:
    found: dict[str, Items] = {}
    for node in evidence.captured.nodes:
        names = evidence.traits(node.name).provides if node.role is Role.HYDRATOR else ()
        for name in names:
            given = evidence.requests.from_caller.get(name)
            if name in evidence.requests.ragged and not (given is not None and given.all()):
                newest = evidence.requests.lists(name).values[::-1]
                found.setdefault(str(node.name), _items(evidence, newest))
    return found


def _sources(evidence: Evidence) -> dict[str, Items]:
    found: dict[str, Items] = {}
    for event in evidence.events("source"):
        leaf = event.name.rpartition(".")[2]
        needs = evidence.traits(event.name).requires
        if leaf in evidence.candidate_sources and "history" in needs:
            found[event.name] = tuple(evidence.found_by(leaf)[:KEPT].tolist())
    return found


def _found(evidence: Evidence) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in evidence.events("source"):
        if event.name.startswith("fallback."):
            continue
        if event.after is not None:
            here = evidence.place_in(event.after)
            found[event.name] = here.stop - here.start
        else:
            found[event.name] = found.get(event.name, 0) + raw_count(evidence, event)
    return found


def _dry(evidence: Evidence) -> str:
    """Return the first stage behind which there are fewer candidates than places."""
    for event in evidence.trace.events:
        if event.after is not None and not event.name.startswith("fallback"):
            here = evidence.place_in(event.after)
            if here.stop - here.start < evidence.k:
                return event.name
    return ""
