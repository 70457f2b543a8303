"""Traces on disk: saved where they were made, and diagnosed where there is time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.data import Candidates, Requests
from recokit.data.state import load_state, save_state
from recokit.debugger.runnable import Runnable
from recokit.errors import DataError
from recokit.trace import Trace

__all__ = ["load_trace", "save_trace"]


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Save a trace as a folder of JSON and plain arrays, without pickle.

    The vocabularies stay with the pipeline; live values are not saved, their versions are. The folder holds what the
    requests held, user ids and contexts included: treat it as you treat your logs.

    Parameters
    ----------
    trace : Trace
        With ``capture="full"`` it is diagnosed as it is; of any other the request is asked again.
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
    # Calls and what is pinned belong to the process that served.
    bare = replace(_mapped(trace, _bare), item_ids=None, user_ids=None)
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
    return replace(_mapped(trace, _whole), item_ids=known["items"], user_ids=known["users"])


def _mapped(trace: Trace, change: Callable[[Requests], Requests]) -> Trace:
    """Return a trace with other requests in it and in its batches; what was one object stays one."""
    done: dict[int, Any] = {}

    def requests(one: Requests) -> Requests:
        if id(one) not in done:
            done[id(one)] = change(one)
        found: Requests = done[id(one)]
        return found

    def batch(one: Candidates | None) -> Candidates | None:
        if one is None:
            return None
        if id(one) not in done:
            done[id(one)] = replace(one, requests=requests(one.requests))
        found: Candidates = done[id(one)]
        return found

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
    return replace(requests, remaining=nothing, degraded=nothing, pinned={})


def _whole(requests: Requests) -> Requests:
    """Return requests with the calls of requests that nobody serves."""
    fresh = Requests.build(np.zeros(0, np.int64))
    return replace(requests, remaining=fresh.remaining, degraded=fresh.degraded)
