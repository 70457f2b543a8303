"""RecentSession: hydrates what the user did just now."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from operator import methodcaller
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit._utils.options import optional, require, whole
from recokit._utils.params import Configured
from recokit.data import Dataset, Ragged, Requests, Schema, Vocabulary, seconds
from recokit.data.by_id import user_ids_of
from recokit.data.event_types import negative_names, taken_back, usual_weights
from recokit.data.requests import Hydrated
from recokit.data.vocabulary import as_ids
from recokit.errors import ConfigurationError, DataError
from recokit.stores.sessions import SessionStore
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


class RecentSession(Configured):
    """Hydrator of ``session``: the events of a session store strictly before each request's own time.

    A pipeline appends the session to the history, so every source that answers from the history answers to what the
    user did a second ago. A session that cannot be read is empty: the store counts it, and the request is ``DEGRADED``.

    Parameters
    ----------
    store : SessionStore
        Where the events are.
    by : str, default "user"
        Whose session: the user's, or that of the id in a context column of this name.
    half_life : duration, optional
        After this time an event counts half; None for no decay here, since sources decay by their own half-life.
    max_events : int, optional
        The most recent events that ``session`` keeps; all that the store keeps by default.
    weights : mapping of str to float, optional
        Weights of event types; the others weigh what they do in the data of ``fit``, or what their kind does. A type
        that is none of these is no signal: it weighs 0.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    ``session`` holds items oldest first with the columns ``timestamp`` (float64 seconds), ``weight`` (float32) and
    ``event`` (int64, code in ``Interactions.event_names`` once fitted; their number for a type that is not there). An
    item that the model does not know is code 0. The stage is ``live``: training skips it, since the history as of a
    past time has the sessions of that time already.

    Attributes
    ----------
    event_names_ : tuple of str
        Event types of the data.

    Examples
    --------
    >>> from recokit.stores import ResidentSessions
    >>> data = Dataset.from_frame({"user": ["ann"], "item": [7], "timestamp": [10]})
    >>> store = ResidentSessions()
    >>> store.append("ann", 7, event="purchase", at=100.0)
    >>> stage = RecentSession(store, half_life="1min").fit(data).bind(data.schema)
    >>> session = stage.hydrate(Requests.build(np.array([1]), now=160.0)).ragged["session"]
    >>> session.values.tolist(), session.columns["weight"].tolist()
    ([1], [0.5])
    """

    as_of = True
    live = True
    io_bound = True
    provides = ("session",)

    item_ids_: Vocabulary
    user_ids_: Vocabulary
    event_names_: tuple[str, ...] = ()
    event_weights_: Mapping[str, float] = {}

    def __init__(
        self,
        store: SessionStore,
        *,
        by: str = "user",
        half_life: Any = None,
        max_events: int | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(store, SessionStore):
            raise ConfigurationError(
                f"found {store!r}; expected a session store, such as stores.ResidentSessions()"
            )
        require(optional(whole(1)), max_events=max_events)
        try:
            self._half_life = np.inf if half_life is None else seconds(half_life)
        except DataError as error:
            raise ConfigurationError(str(error)) from error
        self.store, self.by, self.half_life = store, by, half_life
        self.max_events, self.weights = max_events, weights
        self.requires = () if by == "user" else (f"context.{by}",)

    def fit(self, dataset: Dataset) -> RecentSession:
        """Note the codes of the event types."""
        self.event_names_ = tuple(dataset.interactions.event_names)
        self.event_weights_ = {
            one.name: one.highest for one in dataset.event_types if one.lowest == one.highest
        }
        return self

    def bind(self, schema: Schema) -> RecentSession:
        """Return a copy bound to the vocabularies."""
        bound = copy.copy(self)
        bound.item_ids_, bound.user_ids_ = schema.item_ids, schema.user_ids
        return bound

    def hydrate(self, requests: Requests) -> Hydrated:
        """Return the list ``session`` of each request.

        Raises
        ------
        NotFittedError
            Before ``bind``.
        """
        keys, asked = self._keys(requests)
        now = requests.now[asked]
        rows = self.store.recent(keys, now=now, timeout=requests.remaining())
        if rows.unread.any():
            reason = (
                f"{int(rows.unread.sum())} of {len(rows)} sessions unread, empty ones stand in: {rows.error}"
            )
            requests.report_degraded(np.flatnonzero(asked)[rows.unread], reason)
        counts = np.diff(rows.offsets)
        taken = counts if self.max_events is None else np.minimum(counts, self.max_events)
        row = np.repeat(np.arange(len(counts)), counts)
        kept = np.arange(len(row)) >= np.repeat(rows.offsets[1:] - taken, counts)
        age = np.repeat(now, counts)[kept] - rows.timestamps[kept]
        weight, event = self._kinds(rows.events[kept])
        items = _codes(self.item_ids_, rows.items[kept])
        weight = _still_counting(weight, rows.events[kept], row[kept], items, rows.timestamps[kept])
        full = np.zeros(len(requests), np.int64)
        full[asked] = taken
        session = Ragged(
            counts_to_offsets(full),
            items,
            {
                "timestamp": rows.timestamps[kept],
                "weight": (weight * np.exp2(-age / self._half_life)).astype(np.float32),
                "event": event,
            },
        )
        return Hydrated(ragged={"session": session})

    def _keys(self, requests: Requests) -> tuple[AnyArray, BoolArray]:
        """Return whose sessions to ask for, and in which rows there is anybody to ask for, (B,) bool."""
        if self.by == "user":
            ids = user_ids_of(
                requests, self.user_ids_
            )  # newcomers have a session before the model knows them
            asked = np.array([user is not None and user != "" for user in ids.tolist()], np.bool_)
            return as_ids(ids[asked]), asked
        ids = requests.column(self.by)
        asked = np.ones(len(ids), np.bool_)
        if ids.dtype.kind in "OU":
            texts = ids.astype(object)
            asked = ((texts != "") & (texts != np.array(None, object)) & (texts == texts)).astype(np.bool_)
        return ids[asked], asked

    def _kinds(self, events: AnyArray) -> tuple[AnyArray, IntArray]:
        """Return the weight and the code of each event type, (M,)."""
        given = {**self.event_weights_, **(self.weights or {})}
        names = self.event_names_
        kinds, inverse = np.unique(events.astype(str), return_inverse=True)
        weights = usual_weights(kinds.tolist(), given)
        weight = np.array([weights.get(kind, 0.0) for kind in kinds.tolist()], np.float64)
        code = [names.index(kind) if kind in names else len(names) for kind in kinds.tolist()]
        return weight[inverse], np.array(code, np.int64)[inverse]


def _codes(vocabulary: Vocabulary, texts: AnyArray) -> IntArray:
    """Return the codes of item ids given as text, 0 where one is unknown."""
    if vocabulary.kind == "str":
        return vocabulary.encode(texts)
    found = texts.tolist()
    decimal = map(str.isdecimal, map(methodcaller("removeprefix", "-"), found))
    whole = np.fromiter(decimal, np.bool_, len(found)) & (
        np.fromiter(map(len, found), np.int64, len(found)) < 19
    )
    numbers = list(map(int, texts[whole].tolist()))
    codes = np.zeros(len(found), np.int64)
    codes[whole] = vocabulary.encode(np.array(numbers, np.int64))
    codes[whole] *= np.array(list(map(str, numbers)), object) == texts[whole]  # "007" is another id than 7
    return codes


def _still_counting(
    weight: FloatArray, events: AnyArray, row: IntArray, item: IntArray, time: FloatArray
) -> FloatArray:
    """Return the weights of events, 0 for what was taken back in the same session."""
    kinds, event = np.unique(events.astype(str), return_inverse=True)
    names = tuple(kinds.tolist())
    if not negative_names(names):
        return weight
    group = np.where(item > 0, row * (int(item.max(initial=0)) + 1) + item, -1)
    taken = taken_back(names, group, time, event, weight.astype(np.float32))
    return weight if taken is None else np.where(taken, 0.0, weight)
