"""LiveEvents: events that come in while a model serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.options import require, whole
from recokit.data.events.recent import RawEvents, RecentEvents
from recokit.data.live import Live
from recokit.data.times import DAY, seconds, timestamp
from recokit.errors import ConfigurationError, DataError
from recokit.typing import BoolArray


@dataclass(frozen=True)
class Appended:
    """What became of the events of one call.

    Parameters
    ----------
    accepted : int
        Events that are new.
    repeated : int
        Events that had come before.
    late : int
        Events older than what was dropped or forgotten, of which nobody can tell whether they came before.
    dropped : int
        The oldest events, dropped because there were more than ``max_events``.
    """

    accepted: int
    repeated: int
    late: int
    dropped: int


class LiveEvents(Live[RecentEvents]):
    """Events that came after a model was fitted, for the stages that are to see them at once.

    Give the same object to each of them: ``features.Standard(live_events=events)``,
    ``UserHistory(live_events=events)``. Events may come in any order and more than once. A stage sees those that the
    data it was fitted on lacks, so a refit needs no care; call :meth:`forget` after it to free the events that the new
    model knows. The runner pins one version for each run.

    Parameters
    ----------
    horizon : duration, default "7D"
        How late an event may come: older than that before the end of a model's data, a model cannot tell it from its
        own and leaves it out. Models remember 8 bytes for each event of their last ``horizon``.
    max_events : int, default 100_000
        The most events held; the oldest beyond it are dropped, and counted.
    event_weights : mapping of str to float, optional
        Weights of event types; as in :meth:`Dataset.from_frame`.
    name : str, default "events"
        How traces name it.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    Events are told apart by ``event_id`` where they have one, else by user, item, event type and time. Against a
    model's data it is always the latter. Events are not saved with a pipeline: they belong to the process, or to a
    log that is replayed at its start.

    Examples
    --------
    >>> from recokit.data import Dataset, Requests, UserHistory
    >>> data = Dataset.from_frame({"user_id": [1, 2], "item_id": [7, 8], "timestamp": [10.0, 20.0]})
    >>> events = LiveEvents()
    >>> history = UserHistory(live_events=events).fit(data)
    >>> events.append({"user_id": [1, 1], "item_id": [8, 8], "timestamp": [30.0, 30.0]})
    Appended(accepted=1, repeated=1, late=0, dropped=0)
    >>> hydrated = history.hydrate(Requests.build([1], now=40.0))
    >>> data.item_ids.decode(hydrated.ragged["history"].row(0)).tolist()
    [7, 8]
    """

    def __init__(
        self,
        *,
        horizon: str | float = "7D",
        max_events: int = 100_000,
        event_weights: Mapping[str, float] | None = None,
        name: str = "events",
    ) -> None:
        require(whole(1), max_events=max_events)
        try:
            seconds(horizon)
        except DataError as error:
            raise ConfigurationError(f"horizon: {error}") from error
        self.horizon, self.max_events, self.event_weights = horizon, max_events, event_weights
        self._appending = threading.Lock()
        self._keys: set[Any] = set()
        self._floor = -np.inf
        super().__init__(RecentEvents(_NONE), name=name)

    def __len__(self) -> int:
        return len(self.pin()[1])

    def append(
        self, events: Any, *, columns: Mapping[str, str] | None = None, now: float | None = None
    ) -> Appended:
        """Take events; runs under way do not see them, later ones do.

        Parameters
        ----------
        events : dataframe or mapping of arrays
            ``user_id``, ``item_id`` and ``timestamp``; optionally ``event``, ``weight``, ``value``, ``session_id``,
            and ``event_id``, by which a repeated event is known.
        columns : mapping of str to str, optional
            recokit's name to your column name.
        now : float, optional
            Latest plausible event time; the wall clock plus one day by default.

        Raises
        ------
        DataError
            If the frame cannot be read; then nothing of it is taken.
        """
        latest = time.time() + DAY if now is None else now
        came = RawEvents.from_frame(events, columns, self.event_weights, latest)
        with self._appending:
            late = came.timestamp < self._floor
            new = ~late & self._unseen(came, ~late)
            both = self.pin()[1].events.joined(came.take(new))
            excess = max(len(both) - self.max_events, 0)
            if excess:
                order = np.argsort(both.timestamp, kind="stable")
                self._floor = float(np.nextafter(both.timestamp[order[excess - 1]], np.inf))
                both = both.take(np.sort(order[excess:]))
            self._replace(both, {*both.key.tolist()} if excess else self._keys.union(came.key[new].tolist()))
        n_late = int(late.sum())
        return Appended(int(new.sum()), len(came) - n_late - int(new.sum()), n_late, excess)

    def forget(self, before: str | float) -> int:
        """Drop the events before a time, such as ``train.until`` of the data of a refit; return how many.

        Events before it that come later are late.
        """
        with self._appending:
            held = self.pin()[1].events
            self._floor = max(self._floor, timestamp(before))
            kept = held.take(held.timestamp >= self._floor)
            self._replace(kept, {*kept.key.tolist()})
            return len(held) - len(kept)

    def erase_user(self, user: Any) -> int:
        """Drop the events of a user, and return how many there were."""
        with self._appending:
            held = self.pin()[1].events
            others = np.array([str(one) != str(user) for one in held.user.tolist()], np.bool_)
            kept = held.take(others)
            self._replace(kept, {*kept.key.tolist()})
            return len(held) - len(kept)

    def _unseen(self, came: RawEvents, wanted: BoolArray) -> BoolArray:
        unseen = np.zeros(len(came), np.bool_)
        here: set[Any] = set()
        for place in np.flatnonzero(wanted).tolist():
            key = came.key[place]
            unseen[place] = key not in self._keys and key not in here
            here.add(key)
        return unseen

    def _replace(self, events: RawEvents, keys: set[Any]) -> None:
        # What may fail comes first: a failed append leaves everything as it was.
        following = self.pin()[1].followed_by(events)
        self._keys = keys
        self.set(following)

    def state(self) -> dict[str, Any]:
        """Return what is saved with a pipeline: no events."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Start without events."""

    def __getstate__(self) -> dict[str, Any]:
        kept = {
            name: value
            for name, value in vars(self).items()
            if name not in ("_appending", "_lock", "_pinned")
        }
        return {**kept, "events": self.pin()[1].events}

    def __setstate__(self, state: dict[str, Any]) -> None:
        events = state.pop("events")
        super().__setstate__({**state, "_pinned": (1, RecentEvents(events)), "_appending": threading.Lock()})

    def __repr__(self) -> str:
        return f"LiveEvents({len(self)} events, name={self.name!r})"


_NONE = RawEvents.from_frame({"user_id": [], "item_id": [], "timestamp": []}, None, {}, np.inf)
