"""Captured: a run with everything kept, and its lists with rules or diversity off."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit.data import Candidates, Requests
from recokit.data.state.folder import load_state, save_state
from recokit.errors import DataError
from recokit.protocols import FeatureFreshness, Role, Runnable, Traits, role_of, traits_of
from recokit.slates import select
from recokit.trace import Trace
from recokit.typing import IntArray


@dataclass(frozen=True, eq=False)
class Captured:
    """A captured run of some requests, and its lists without rules or diversity, computed when they are read.

    Parameters
    ----------
    trace : Trace
        With ``capture="full"``.
    nodes : sequence
        Of the pipeline, each with ``name``, ``role`` and ``stage``.
    usual : sequence
        Nodes of the baseline, if there is one with the same codes.
    seconds : mapping of str to float
        Of each stage, and of the whole under ``""``, where the request may have run more than once.
    """

    trace: Trace
    nodes: Sequence[Any]
    usual: Sequence[Any] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The pipeline's fitted stages, by path."""
        return {node.name: node.stage for node in self.nodes}

    @cached_property
    def traits(self) -> dict[str, Traits]:
        """What the stages declare of themselves, by path; a pipeline's nodes keep it."""
        return {node.name: getattr(node, "traits", None) or traits_of(node.stage) for node in self.nodes}

    def names(self, *roles: Role) -> list[str]:
        """Return the paths of the stages of some roles."""
        return [node.name for node in self.nodes if node.role in roles]

    @cached_property
    def freshness(self) -> dict[str, float]:
        """Until when the data of each feature is known, where a stage knows it."""
        known: dict[str, float] = {}
        for node in self.nodes:
            # Of featurizers alone: a source may have a method of that name for an index of its own.
            if node.role is Role.FEATURIZER and isinstance(node.stage, FeatureFreshness):
                known |= node.stage.freshness()
        return known

    @cached_property
    def removed(self) -> Candidates | None:
        """The candidates that hard rules removed, with features and scores; None where they removed nothing."""
        before, after = retrieved_batch(self.trace), ranked_batch(self.trace)
        if before is None or after is None or len(before) <= len(after):
            return None
        n_codes = int(before.item.max(initial=0)) + 1
        out = ~np.isin(before.row * n_codes + before.item, after.row * n_codes + after.item)
        batch = before.compress(out)
        for event in self.trace.events:
            stage = self.stages.get(event.name)
            if event.role == "selection":
                break
            if stage is None or event.error or event.skipped or event.n_rows < len(self.trace.requests):
                continue
            try:
                if event.role == "featurizer":
                    batch = batch.with_features(stage.featurize(batch), tuple(stage.names))
                elif event.role == "scorer":
                    batch = batch.with_score(stage.score(batch))
            except Exception:  # a stage that cannot do without the others: the order so far has to serve
                break
        return batch

    @cached_property
    def limited(self) -> Candidates | None:
        """The lists under the limits alone, without diversity; None where these are the lists as served."""
        ranked = ranked_batch(self.trace)
        if ranked is None or not _steering(self.nodes):
            return None
        return listed(ranked, _limits(self.nodes))

    @cached_property
    def usually_limited(self) -> Candidates | None:
        """Of the same candidates and scores: the lists under the limits of the baseline, without diversity."""
        ranked, limits = ranked_batch(self.trace), _limits(self.usual)
        if ranked is None or not self.usual:
            return None
        if _alike(limits, _limits(self.nodes)):
            return self.trace.selected if self.limited is None else self.limited
        return listed(ranked, limits)

    @cached_property
    def usually_listed(self) -> Candidates | None:
        """Of the same candidates and scores: the lists under these limits and the baseline's diversity."""
        ranked = ranked_batch(self.trace)
        if ranked is None or not self.usual or not _steering(self.nodes):
            return None
        if _alike(_steering(self.nodes), _steering(self.usual)):
            return self.trace.selected
        return listed(ranked, _limits(self.nodes), _steering(self.usual))


def retrieved_batch(trace: Trace) -> Candidates | None:
    """Return the candidates as fused, before any rule."""
    return next(
        (event.after for event in trace.events if event.role == "source" and event.after is not None), None
    )


def ranked_batch(trace: Trace) -> Candidates | None:
    """Return the candidates as they were scored, before selection."""
    return next((event.before for event in trace.events if event.role == "selection"), None)


def captured_rows(batch: Candidates, row: int) -> IntArray:
    """Return one row's items."""
    return batch.item[int(batch.offsets[row]) : int(batch.offsets[row + 1])]


def n_missing(wanted: IntArray, there: IntArray) -> int:
    """Return how many items of one short list another lacks; sets are faster than arrays here."""
    return len(set(wanted.tolist()).difference(there.tolist()))


def n_shared(wanted: IntArray, there: IntArray) -> int:
    """Return how many items two short lists share."""
    return len(set(wanted.tolist()).intersection(there.tolist()))


def listed(batch: Candidates, limits: Sequence[Any], steering: Sequence[Any] = ()) -> Candidates | None:
    """Return the lists of a ranked batch under some constraints, and an objective or a reranker if there is one.

    None where one of them fails.
    """
    try:
        stated = [limit for stage in limits for limit in stage.limit(batch)]
        order = objective = None
        for stage in steering:
            if role_of(stage) is Role.RERANKER:
                order = stage.rerank(batch)
            else:
                objective = stage
        chosen = select(
            batch,
            batch.requests.k,
            limits=stated,
            objective=objective,
            order=order,
            pool=traits_of(objective).pool,
        )
    except Exception:  # the run itself has recorded that, or the baseline's stage does not fit
        return None
    return batch.take(chosen.offsets, chosen.index)


def _limits(nodes: Sequence[Any]) -> list[Any]:
    return [node.stage for node in nodes if node.role is Role.CONSTRAINT]


def _steering(nodes: Sequence[Any]) -> list[Any]:
    return [node.stage for node in nodes if node.role in (Role.OBJECTIVE, Role.RERANKER)]


def _alike(stages: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether stages must answer alike, one by one."""
    return len(stages) == len(others) and all(map(same_stage, stages, others))


def same_stage(stage: Any, other: Any) -> bool:
    """Whether two stages are of one class and hold the same values, so that they must answer alike."""
    if type(stage) is not type(other) or vars(stage).keys() != vars(other).keys():
        return False
    return all(_equal(value, vars(other)[name]) for name, value in vars(stage).items())


def _equal(value: Any, other: Any) -> bool:
    if value is other:
        return True
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(value, other))
    return isinstance(value, bool | int | float | str | tuple) and bool(value == other)


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Save a trace as a folder of JSON and plain arrays, without pickle.

    The vocabularies stay with the pipeline; live values are not saved, their versions are. The folder holds what the
    requests held, user ids and contexts included: treat it as you treat your logs.

    Parameters
    ----------
    trace : Trace
        With ``capture="full"`` it is diagnosed as it is; of any other the request runs again.
    path : str or path
        The folder to write: new, or an earlier saved trace.

    Raises
    ------
    ConfigurationError
        If the path holds something else, or the context of the requests is no plain data.
    """
    ids = {
        name: "" if of is None else of.fingerprint
        for name, of in (("items", trace.item_ids), ("users", trace.user_ids))
    }
    # Calls and pinned values belong to the process that served.
    bare = replace(_mapped(trace, _bare), item_ids=None, item_titles=None, user_ids=None)
    save_state(path, bare, extra={"kind": "trace", **ids})


def load_trace(path: str | os.PathLike[str], pipeline: Runnable) -> Trace:
    """Load what :func:`save_trace` saved, for the pipeline that it is a trace of.

    Parameters
    ----------
    path : str or path
        The folder.
    pipeline : Pipeline
        Gives the ids of the codes.

    Raises
    ------
    DataError
        If there is no trace, it is damaged, or its codes are those of a pipeline with other items or users.
    """
    trace, extra = load_state(path)
    if extra.get("kind") != "trace" or not isinstance(trace, Trace):
        raise DataError(f"found no trace in {os.fspath(path)}; expected a folder that save_trace wrote")
    known = {"items": pipeline.schema.item_ids, "users": pipeline.schema.user_ids}
    for name, ids in known.items():
        if extra[name] not in ("", ids.fingerprint):
            raise DataError(
                f"found a trace of a pipeline with other {name} ({extra[name]}, and here {ids.fingerprint}); expected "
                "the pipeline that made it, as its codes mean nothing in another one"
            )
    return replace(
        _mapped(trace, _whole),
        item_ids=known["items"],
        user_ids=known["users"],
        item_titles=pipeline.schema.items.titles,
    )


def _mapped(trace: Trace, change: Callable[[Requests], Requests]) -> Trace:
    """Return a trace with other requests in it and in its batches; one object stays one."""
    done: dict[int, Any] = {}

    def requests(one: Requests) -> Requests:
        if id(one) not in done:
            done[id(one)] = change(one)
        changed: Requests = done[id(one)]
        return changed

    def batch(one: Candidates | None) -> Candidates | None:
        if one is None:
            return None
        if id(one) not in done:
            done[id(one)] = replace(one, requests=requests(one.requests))
        changed: Candidates = done[id(one)]
        return changed

    selected = batch(trace.selected)
    assert selected is not None
    return replace(
        trace,
        requests=requests(trace.requests),
        events=tuple(
            replace(event, before=batch(event.before), after=batch(event.after)) for event in trace.events
        ),
        selected=selected,
        ranked=batch(trace.ranked),
    )


def _bare(requests: Requests) -> Requests:
    nothing: Any = None
    return replace(requests, remaining=nothing, report_degraded=nothing, pinned={})


def _whole(requests: Requests) -> Requests:
    """Return requests with the calls of requests that nobody serves."""
    fresh = Requests.build(np.zeros(0, np.int64))
    return replace(requests, remaining=fresh.remaining, report_degraded=fresh.report_degraded)
