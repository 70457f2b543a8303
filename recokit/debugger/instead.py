"""Instead: what the list would be with a part of the baseline, for the page of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from recokit.data import Requests
from recokit.debugger.confirm import exchanged
from recokit.debugger.replay import replay, translated
from recokit.errors import RecokitError
from recokit.protocols import Role, Runnable
from recokit.trace import Trace


def lists_instead(
    mine: Runnable, usual: Runnable, trace: Trace, user: Any, *, suspected: str = "", seconds: float = 1.0
) -> dict[str, tuple[Any, ...]]:
    """Return the lists of a request with parts of the baseline, as external ids, by what was exchanged.

    The suspected stage, the rankers, and the whole baseline; parts that do not fit are left out.

    Parameters
    ----------
    mine, usual : Runnable
        The pipeline and the baseline.
    trace : Trace
        Of the request's run here, alone.
    user : object
        External id.
    suspected : str, optional
        Path of a stage.
    seconds : float, default 1
        Time that a request may take.
    """
    lists: dict[str, tuple[Any, ...]] = {}
    requests = _bare(trace)
    same = mine.schema.item_ids.fingerprint == usual.schema.item_ids.fingerprint
    theirs = {node.name for node in usual}
    scorers = [node.name for node in mine if node.role is Role.SCORER and node.name in theirs]
    parts: list[tuple[str, Sequence[str]]] = []
    if suspected in theirs:
        parts.append((f"with the baseline's {suspected}", (suspected,)))
    if scorers and scorers != [suspected]:
        parts.append(("with the baseline's ranker", scorers))
    for name, stages in parts if same else ():
        try:
            lists[name] = _list(replay(exchanged(mine, usual, stages), requests, seconds))
        except RecokitError:  # a part that does not fit into this pipeline
            continue
    lists["by the baseline"] = _list(replay(usual, translated(requests, [user], mine, usual), seconds))
    return lists


def _bare(trace: Trace) -> Requests:
    """Return the request as it came, without what hydrators added."""
    given = {name for name, rows in trace.requests.from_caller.items() if rows.any()}
    ragged = {name: lists for name, lists in trace.requests.ragged.items() if name in given}
    return replace(trace.requests, ragged=ragged)


def _list(trace: Trace) -> tuple[Any, ...]:
    items: Any = trace.item_ids
    return tuple(items.decode(trace.selected.item).tolist())
