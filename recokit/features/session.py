"""Session: the user's current run of events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets, multi_arange, segment_sum
from recokit.data import Candidates, Dataset, Ragged, Requests, Schema
from recokit.data.times import Duration
from recokit.features._block import Block, Context, bound_copy, durations, ratio, window_label
from recokit.typing import AnyArray, IntArray


class Session(Block):
    """The user's current session: the last run of events without a longer pause, if it is not over yet.

    Features: ``session_events`` (how deep it is), ``session_minutes`` (from its first event to its last, the dwell),
    ``session_idle_minutes`` (since its last event, NaN without a session), ``in_session`` (1 if the candidate is part
    of it), and with a column such as ``"category"``: ``session_category_share`` (share of its events with items of the
    candidate's label) and ``session_last_category`` (1 if its last item has the candidate's label). Where items have
    several labels, both are means over the candidate's.

    It reads the history of the request, so it needs no event index; what the caller gives as ``session=`` is part of
    the history, and so are live events.

    Parameters
    ----------
    column : str, optional
        Categorical item column.
    gap : duration, default "30min"
        The longest pause within a session, as web analytics has it.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> history = Ragged(np.array([0, 3]), np.array([4, 2, 3]), {"timestamp": np.array([0.0, 9000.0, 9060.0])})
    >>> requests = Requests.build([1], now=9120.0, ragged={"history": history})
    >>> block = Session()
    >>> values = block.featurize(Candidates.from_lists([[2, 4]], requests=requests))
    >>> dict(zip(block.names, values[0].tolist()))
    {'session_events': 2.0, 'session_minutes': 1.0, 'session_idle_minutes': 1.0, 'in_session': 1.0}
    """

    labels_: Ragged

    family = "session"

    def __init__(self, column: str | None = None, *, gap: Duration = "30min") -> None:
        self.column, self.gap = column, gap
        (self._gap,) = durations(gap)
        short = () if column is None else (column.removeprefix("item."),)
        self.requires = ("history", *(f"item.{name}" for name in short))
        pause = window_label(gap)
        self.meanings = {
            "session_events": f"events of the current session, which ends after a pause of {pause}",
            "session_minutes": "minutes from its first event to its last",
            "session_idle_minutes": "minutes since its last event",
            "in_session": "1 if the candidate is part of it",
        }
        for name in short:
            self.meanings |= {
                f"session_{name}_share": f"share of its events with items of the candidate's {name}",
                f"session_last_{name}": f"1 if its last item has the candidate's {name}",
            }
        self.names = tuple(self.meanings)

    def fit(self, dataset: Dataset) -> Session:
        """Learn nothing: all it needs comes with the request."""
        return self

    def bind(self, schema: Schema) -> Session:
        """Return a copy bound to the column of the item table."""
        if self.column is None:
            return bound_copy(self)
        labels = schema.items.labelled(self.column.removeprefix("item.")).several
        return bound_copy(self, labels_=Ragged(labels.offsets, labels.code))

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        candidates = context.candidates
        session = self._session(candidates.requests)
        counts, filled = session.counts, np.flatnonzero(session.counts)
        minutes, idle = np.zeros(len(counts)), np.full(len(counts), np.nan)
        time, last = session.columns.get("timestamp", np.zeros(0)), session.offsets[1:][filled] - 1
        minutes[filled] = (time[last] - time[session.offsets[:-1][filled]]) / 60
        idle[filled] = (candidates.requests.now[filled] - time[last]) / 60
        inside = pairs_in_sets(candidates.row, candidates.item, session.offsets, session.values)
        own = () if self.column is None else self._label_columns(candidates, session)
        return [*context.by_row(counts, minutes, idle), inside, *own]

    def _label_columns(self, candidates: Candidates, session: Ragged) -> Sequence[AnyArray]:
        labels: Ragged = self.labels_
        width = int(labels.values.max(initial=0)) + 1
        wanted, met = labels.take(candidates.item), labels.take(session.values)
        of = wanted.rows
        key = candidates.row[of] * width + wanted.values
        met_key = session.rows[met.rows] * width + met.values
        is_last = np.zeros(len(session.values), np.bool_)
        is_last[session.offsets[1:][session.counts > 0] - 1] = True
        counts = session.counts[candidates.row]
        share, last = (
            segment_sum(_count(keys, key), of, len(counts)) / np.maximum(wanted.counts, 1)
            for keys in (met_key, met_key[is_last[met.rows]])
        )
        return ratio(share, counts), last

    def _session(self, requests: Requests) -> Ragged:
        """Return the last run of each row's history, empty where it is over."""
        history = requests.signals()
        if not len(history.values):
            return history
        time, start, stop = history.columns["timestamp"], history.offsets[:-1].copy(), history.offsets[1:]
        paused = np.flatnonzero(np.diff(time) > self._gap) + 1
        # Between two rows there is no pause: a position that starts a row changes nothing.
        np.maximum.at(start, history.rows[paused], paused)
        filled = np.flatnonzero(history.counts)
        over: IntArray = filled[requests.now[filled] - time[stop[filled] - 1] > self._gap]
        start[over] = stop[over]
        index = multi_arange(start, stop - start)
        return Ragged(
            counts_to_offsets(stop - start), history.values[index], {"timestamp": np.asarray(time[index])}
        )


def _count(keys: IntArray, wanted: IntArray) -> IntArray:
    """Return how often each wanted key is among the keys, (N,) int64."""
    ordered = np.sort(keys)
    return np.searchsorted(ordered, wanted, "right") - np.searchsorted(ordered, wanted, "left")
