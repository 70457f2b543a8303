"""Dataset: interactions, tables and vocabularies of one model."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit._utils.options import require_rows
from recokit.data.frames import ALIASES, Frame
from recokit.data.interactions import EVENT_WEIGHTS, Interactions
from recokit.data.schema import Schema
from recokit.data.table import Table
from recokit.data.times import DAY, seconds, timestamp
from recokit.data.vocabulary import Vocabulary, factorize
from recokit.errors import DataError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_LOG_COLUMNS = {*ALIASES, "event", "value", "session_id", "impression_id", "position", "propensity"}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions, user and item tables, and the vocabularies that give them codes.

    Parameters
    ----------
    interactions : Interactions
        The event log.
    user_ids, item_ids : Vocabulary
        External ids; parts of one split share them.
    users, items : Table
        Attributes by code.
    cut : float, optional
        Where this is the part before a time split: that time. Everything here is strictly before it.
    session_ids : ndarray, optional
        External ids of the sessions, ascending; code 1 is the first.
    extra : mapping
        Whatever else a loader knows about the data, such as a generator's true relevance.
    """

    interactions: Interactions
    user_ids: Vocabulary
    item_ids: Vocabulary
    users: Table
    items: Table
    cut: float | None = None
    session_ids: AnyArray | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_frame(
        cls,
        interactions: Any,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        event_weights: Mapping[str, float] = EVENT_WEIGHTS,
        categorical: Collection[str] = (),
        now: float | None = None,
    ) -> Dataset:
        """Build from dataframes (pandas, Polars, pyarrow, DuckDB, or a mapping of arrays).

        Parameters
        ----------
        interactions : dataframe or None
            ``user_id``, ``item_id`` and ``timestamp`` (or ``user``, ``item``, ``datetime``); optionally
            ``event``, ``weight`` (or ``rating``), ``value``, ``session_id``, ``impression_id``, ``position``,
            ``propensity``. None for a catalogue without any events.
        users, items : dataframe, optional
            One row for each ``user_id`` / ``item_id``; the other columns become attributes. Items without an
            interaction stay part of the catalogue.
        columns : mapping of str to str, optional
            recokit's name to your column name, in whichever of the frames it stands.
        event_weights : mapping of str to float
            Weight of each event type where there is no weight column; ``EVENT_WEIGHTS`` by default, 1 for other types.
        categorical : collection of str
            User and item columns of labels that look like numbers, such as integer codes of sellers. Text,
            and columns whose names end with ``_id``, are categorical anyway.
        now : float, optional
            Latest plausible event time; the wall clock plus one day by default. Later events are an error.

        Raises
        ------
        DataError
            For missing columns, mixed-type ids, NaN or future timestamps, negative or non-finite weights.

        Examples
        --------
        >>> log = {"user_id": ["ann", "bob"], "item_id": [10, 20], "timestamp": [1.5e9, 1.6e9]}
        >>> data = Dataset.from_frame(log)
        >>> data
        Dataset(2 interactions, 2 users, 2 items)
        """
        log, user_frame, item_frame = _frames(interactions, users, items, columns or {})
        user, item = log.ids("user_id"), log.ids("item_id")
        user_ids = _vocabulary(user, user_frame, "user_id")
        item_ids = _vocabulary(item, item_frame, "item_id")
        latest = time.time() + DAY if now is None else now
        session, session_ids = log.labels("session_id") if "session_id" in log else (None, None)
        return cls(
            _interactions(
                log,
                user_ids.encode(user),
                item_ids.encode(item),
                session,
                event_weights=event_weights,
                latest=latest,
            ),
            user_ids,
            item_ids,
            _table(user_frame, user_ids, "user_id", categorical),
            _table(item_frame, item_ids, "item_id", categorical),
            session_ids=session_ids,
        )

    @property
    def n_users(self) -> int:
        """Number of known users; codes run from 1 to this number."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items in the catalogue; codes run from 1 to this number."""
        return len(self.item_ids)

    @property
    def until(self) -> float:
        """Earliest request time that this data cannot leak into: the cut, or the last event's time."""
        if self.cut is not None:
            return self.cut
        return float(self.interactions.timestamp[-1]) if len(self.interactions) else -np.inf

    @property
    def schema(self) -> Schema:
        """The names that stages may bind to."""
        return Schema(self.item_ids, self.user_ids, self.items, self.users)

    def __repr__(self) -> str:
        return f"Dataset({len(self.interactions)} interactions, {self.n_users} users, {self.n_items} items)"

    def with_interactions(self, interactions: Interactions, *, cut: float | None = None) -> Dataset:
        """Return the same users and items with other events."""
        return replace(self, interactions=interactions, cut=cut)

    def at_least(self, weight: float) -> Dataset:
        """Return explicit ratings as implicit signal: the events of at least this weight, each of weight 1.

        Users and items stay, also those that nothing is left of. What a rating says below the threshold is dropped:
        without a call of this, ratings count as weights, and a 1 of 5 is a weak like.

        Raises
        ------
        DataError
            If no event reaches the weight.

        Examples
        --------
        >>> log = {"user": [1, 1, 2], "item": [7, 8, 7], "rating": [5, 2, 4], "timestamp": [10, 20, 30]}
        >>> Dataset.from_frame(log).at_least(4)
        Dataset(2 interactions, 2 users, 2 items)
        """
        log = self.interactions
        kept = log.take(np.flatnonzero(log.weight >= weight))
        if len(log) and not len(kept):
            raise DataError(
                f"found no event of a weight of at least {weight}; the largest is {log.weight.max():g}"
            )
        ones = np.ones(len(kept), np.float32)
        return self.with_interactions(kept.replace(weight=ones), cut=self.cut)

    def before(self, when: str | float) -> Dataset:
        """Return the data with events strictly before a time."""
        end = timestamp(when)
        return self.with_interactions(self.interactions.between(-np.inf, end), cut=end)

    def split_at(self, when: str | float, *, horizon: str | float | None = None) -> tuple[Dataset, Dataset]:
        """Split at one global time: train strictly before it, test from it on.

        Parameters
        ----------
        when : str or float
            ISO date or seconds since 1970, UTC.
        horizon : str or float, optional
            Length of the test part, such as ``"7D"``; to the end of the data by default.

        Returns
        -------
        train, test : Dataset
            Both with the same vocabularies and tables.

        Raises
        ------
        DataError
            If either part has no events.

        See Also
        --------
        recokit.data.splits : Rolling and expanding windows, leave-last-n, k-core, cold users and cold items.
        """
        start = timestamp(when)
        end = np.inf if horizon is None else start + seconds(horizon)
        train, test = self.before(start), self.with_interactions(self.interactions.between(start, end))
        for name, part in (("train", train), ("test", test)):
            if not len(part.interactions):
                span = (
                    self.interactions.timestamp[[0, -1]].tolist() if len(self.interactions) else "no events"
                )
                raise DataError(
                    f"found no events in the {name} part of a split at {when!r}; the data spans {span}"
                )
        return train, test


def require_dataset(found: Any, name: str) -> None:
    """Raise DataError if an argument is no Dataset, such as the frame that one is built from."""
    if not isinstance(found, Dataset):
        raise DataError(
            f"found {type(found).__name__} for {name}; expected a Dataset; hint: Dataset.from_frame(...) builds one"
        )


def _frames(
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


def _vocabulary(ids: AnyArray, frame: Frame | None, name: str) -> Vocabulary:
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


def _table(frame: Frame | None, vocabulary: Vocabulary, name: str, categorical: Collection[str]) -> Table:
    if frame is None:
        return Table.empty(len(vocabulary))
    return Table.from_frame(frame, vocabulary, name, categorical=categorical)


def _interactions(
    log: Frame,
    user: IntArray,
    item: IntArray,
    session: IntArray | None,
    event_weights: Mapping[str, float],
    latest: float,
) -> Interactions:
    timestamp = log.times("timestamp")
    require_rows(np.isfinite(timestamp), timestamp, "timestamp", "finite seconds since 1970")
    expected = f"at most {latest:.0f}, seconds since 1970; hint: are these milliseconds?"
    require_rows(timestamp <= latest, timestamp, "timestamp", expected)
    names, event = _events(log, len(timestamp), event_weights)
    order = np.argsort(timestamp, kind="stable")
    return Interactions(
        user=user[order],
        item=item[order],
        timestamp=timestamp[order],
        event=event[order],
        weight=_weights(log, names, event, event_weights)[order],
        value=_values(log, len(event))[order],
        event_names=names,
        session=None if session is None else session[order],
        impression=log.labels("impression_id")[0][order] if "impression_id" in log else None,
        position=_positions(log)[order] if "position" in log else None,
        propensity=_propensities(log)[order] if "propensity" in log else None,
    )


def _events(log: Frame, n: int, event_weights: Mapping[str, float]) -> tuple[tuple[str, ...], IntArray]:
    if "event" not in log:
        return ("purchase",), np.zeros(n, np.int64)
    code, labels = log.labels("event")
    require_rows(code > 0, code, "event", "an event type in every row")
    found = [str(label) for label in labels.tolist()]
    names = sorted(found, key=lambda name: (event_weights.get(name, 1.0), name))
    by_strength = np.array([names.index(name) for name in found], np.int64)
    return tuple(names) or ("purchase",), by_strength[code - 1] if n else np.zeros(0, np.int64)


def _weights(
    log: Frame, names: tuple[str, ...], event: IntArray, event_weights: Mapping[str, float]
) -> Float32Array:
    if "weight" not in log:
        return np.array([event_weights.get(name, 1.0) for name in names], np.float32)[event]
    weight = log.number("weight")
    require_rows(np.isfinite(weight) & (weight >= 0), weight, "weight", "finite weights of at least 0")
    return weight.astype(np.float32)


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
