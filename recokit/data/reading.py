"""Reading: the columns of a user's frames, checked, as the arrays of a dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.options import require_rows
from recokit.data.event_types import event_weights, usual_weights, without_signal
from recokit.data.frames import ALIASES, Frame
from recokit.data.interactions import Interactions
from recokit.data.table import Table
from recokit.data.vocabulary import Vocabulary, factorize
from recokit.errors import DataError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_LOG_COLUMNS = {*ALIASES, "event", "value", "session_id", "impression_id", "position", "propensity"}


def frames(
    interactions: Any, users: Any, items: Any, columns: Mapping[str, str]
) -> tuple[Frame, Frame | None, Frame | None]:
    """Read the frames. A mapped name must stand in at least one; log columns are not mapped in the tables."""
    log = Frame(
        {name: [] for name in ("user_id", "item_id", "timestamp")} if interactions is None else interactions
    )
    tables = {
        "user_id": None if users is None else Frame(users),
        "item_id": None if items is None else Frame(items),
    }
    known = [name for frame in (log, *tables.values()) if frame is not None for name in frame.original]
    for ours, theirs in columns.items():
        if theirs not in known:
            raise DataError(f"found no column {theirs!r} (for {ours!r}); {did_you_mean(theirs, known)}")
    read: dict[str, Frame | None] = {}
    for id_column, frame in tables.items():
        allowed = {
            ours: theirs for ours, theirs in columns.items() if ours == id_column or ours not in _LOG_COLUMNS
        }
        aliases = {id_column: ALIASES[id_column]}
        read[id_column] = None if frame is None else frame.renamed(_present(allowed, frame), aliases)
    return log.renamed(_present(columns, log), ALIASES), read["user_id"], read["item_id"]


def _present(columns: Mapping[str, str], frame: Frame) -> dict[str, str]:
    return {ours: theirs for ours, theirs in columns.items() if theirs in frame.original}


def vocabulary(ids: AnyArray, frame: Frame | None, name: str) -> Vocabulary:
    """Return the vocabulary of a table's ids, then those that only the log has."""
    from_log = Vocabulary(factorize(ids)[1])
    if frame is None:
        return from_log
    table = Vocabulary(factorize(frame.ids(name))[1])
    if len(from_log) and len(table) and from_log.kind != table.kind:
        raise DataError(
            f"found {name} as {from_log.kind} in the interactions and as {table.kind} in the table; "
            f"expected one kind; hint: convert one of them with {table.kind}() or {from_log.kind}()"
        )
    return table.extend(from_log.ids)


def table(frame: Frame | None, vocabulary: Vocabulary, name: str, categorical: Collection[str]) -> Table:
    """Return a frame as a table by code; a table without columns where there is no frame."""
    if frame is None:
        return Table.empty(len(vocabulary))
    return Table.from_frame(frame, vocabulary, name, categorical=categorical)


def interactions(
    log: Frame,
    user: IntArray,
    item: IntArray,
    session: IntArray | None,
    given: Mapping[str, float] | None,
    latest: float,
) -> Interactions:
    """Return the log's columns, checked, in the order of time."""
    timestamp = log.times("timestamp")
    require_rows(np.isfinite(timestamp), timestamp, "timestamp", "finite seconds since 1970")
    expected = f"at most {latest:.0f}, seconds since 1970; hint: are these milliseconds?"
    require_rows(timestamp <= latest, timestamp, "timestamp", expected)
    names, event = _events(log, len(timestamp), given)
    order = np.argsort(timestamp, kind="stable")
    return Interactions(
        user=user[order],
        item=item[order],
        timestamp=timestamp[order],
        event=event[order],
        weight=weights_of(log, names, event, given)[order],
        value=_values(log, len(event))[order],
        event_names=names,
        session=None if session is None else session[order],
        impression=log.labels("impression_id")[0][order] if "impression_id" in log else None,
        position=_positions(log)[order] if "position" in log else None,
        propensity=_propensities(log)[order] if "propensity" in log else None,
    )


def _events(log: Frame, n: int, given: Mapping[str, float] | None) -> tuple[tuple[str, ...], IntArray]:
    """Return the names of the event types, weakest first, and each event's code."""
    if "event" not in log:
        return ("purchase",), np.zeros(n, np.int64)
    code, labels = log.labels("event")
    require_rows(code > 0, code, "event", "an event type in every row")
    found = [str(label) for label in labels.tolist()]
    weight = usual_weights(found, given)
    names = sorted(found, key=lambda name: (weight.get(name, 1.0), name))
    by_strength = np.array([names.index(name) for name in found], np.int64)
    return tuple(names) or ("purchase",), by_strength[code - 1] if n else np.zeros(0, np.int64)


def weights_of(
    log: Frame, names: Sequence[str], event: IntArray, given: Mapping[str, float] | None
) -> Float32Array:
    """Return the weight of each event, by its column or its type, (M,)."""
    if "weight" not in log:
        weights = event_weights(names, given)
        return np.array([weights[name] for name in names], np.float32)[event]
    weight = log.number("weight")
    require_rows(np.isfinite(weight) & (weight >= 0), weight, "weight", "finite weights of at least 0")
    return without_signal(names, event, weight.astype(np.float32), given or ())


def _values(log: Frame, n: int) -> Float32Array:
    if "value" not in log:
        return np.full(n, np.nan, np.float32)
    value = log.number("value")
    require_rows(~np.isinf(value), value, "value", "finite amounts, NaN where unknown")
    return value.astype(np.float32)


def _positions(log: Frame) -> IntArray:
    position = np.nan_to_num(log.number("position"), posinf=np.inf, neginf=-np.inf)
    ok = np.isfinite(position) & (position >= 0) & (position == np.floor(position))
    require_rows(ok, position, "position", "whole numbers from 1, missing where not shown in a list")
    return position.astype(np.int64)


def _propensities(log: Frame) -> FloatArray:
    propensity = log.number("propensity")
    ok = np.isnan(propensity) | ((propensity > 0) & (propensity <= 1))
    require_rows(ok, propensity, "propensity", "probabilities above 0 and up to 1")
    return propensity
