"""Dataset: interactions, tables and vocabularies of one model."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit._utils.report import Content, Table as Grid, html
from recokit.data import reading
from recokit.data.event_types import EventType, event_types
from recokit.data.interactions import Interactions
from recokit.data.schema import Schema
from recokit.data.table import Table
from recokit.data.times import DAY, Duration, seconds, timestamp
from recokit.data.vocabulary import Vocabulary
from recokit.errors import DataError
from recokit.typing import AnyArray


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
    notes : tuple of str
        What was decided while the data was read: rows left out, columns taken for something.
    """

    interactions: Interactions
    user_ids: Vocabulary
    item_ids: Vocabulary
    users: Table
    items: Table
    cut: float | None = None
    session_ids: AnyArray | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls,
        interactions: Any,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        event_weights: Mapping[str, float] | None = None,
        min_rating: float | None = None,
        categorical: Collection[str] = (),
        separators: Mapping[str, str | None] | None = None,
        roles: Mapping[str, str | None] | None = None,
        title: str | None = reading.TITLE,
        image: str | None = None,
        missing: reading.Missing = "error",
        repeats: Duration | None = None,
        now: float | None = None,
    ) -> Dataset:
        """Build from dataframes (pandas, Polars, pyarrow, DuckDB, or a mapping of arrays).

        Parameters
        ----------
        interactions : dataframe or None
            ``user_id``, ``item_id`` and ``timestamp`` (or ``user``, ``item``, ``datetime``); optionally
            ``event``, ``weight`` (or ``rating``), ``value``, ``session_id``, ``impression_id``, ``position``,
            ``propensity``, ``event_id``. None for a catalogue without any events.
        users, items : dataframe, optional
            One row for each ``user_id`` / ``item_id``; the other columns become attributes. Items without an
            interaction stay part of the catalogue.
        columns : mapping of str to str, optional
            recokit's name to your column name, in whichever of the frames it stands.
        event_weights : mapping of str to float, optional
            Weights of event types, 0 for what is no signal. Others weigh what ``EVENT_WEIGHTS`` has for their kind, by
            their name or a common one for it, such as ``"addToCart"`` or ``"transaction"``; a name that is not common
            has to be given. Where there is a weight column it counts, but for events that were only shown, or that
            speak against an item.
        min_rating : float, optional
            How explicit ratings are read: those from this on are signals of weight 1, the others are seen and no
            signal. With 0 a rating is a weight, as it is by default, which is said.
        categorical : collection of str
            User and item columns of labels that look like numbers, such as integer codes of sellers. Text,
            and columns whose names end with ``_id``, are categorical anyway.
        separators : mapping of str to str, optional
            What stands between the labels of columns that hold several, such as ``{"genres": "|"}``; None for a column
            of single labels. Cells that are lists need none, and a separator that is found in text is said.
        roles : mapping of str to str, optional
            Item columns that stand for ``category``, ``seller``, ``brand`` and ``price``, such as ``{"category":
            "genres"}``; stages find them by either name. Columns of common names are taken for them, which is noted;
            None for a role that no column has.
        title : str, default "title"
            Item column that shows an item to people, where there is one.
        image : str, optional
            Item column with the address of a picture.
        missing : {"error", "drop", "anonymous"}, default "error"
            Rows without an id. With ``"drop"`` they are left out, and counted. With ``"anonymous"`` events without a
            user are kept: popularity counts them, models of users do not.
        repeats : duration, optional
            An event of the same user, item and type so soon after another, such as ``"5s"``, is the same event sent
            again, and so is one of an ``event_id`` seen before: they count once.
        now : float, optional
            Latest plausible event time; the wall clock plus one day by default. Later events are an error.

        Raises
        ------
        DataError
            For missing columns, mixed-type ids, NaN or future timestamps, negative or non-finite weights, event types
            of unknown weight, and users and items that look swapped: all that is wrong at once.

        Warns
        -----
        DataWarning
            Where something was guessed: how ratings are read, what stands between labels. All that was decided stands
            in ``notes``.

        Examples
        --------
        >>> log = {"user_id": ["ann", "bob"], "item_id": [10, 20], "timestamp": [1.5e9, 1.6e9]}
        >>> data = Dataset.from_frame(log)
        >>> data
        Dataset(2 interactions, 2 users, 2 items; purchase 1 (signal))
        """
        choices = reading.Choices(
            latest=time.time() + DAY if now is None else now,
            event_weights=event_weights,
            min_rating=min_rating,
            categorical=categorical,
            separators=separators or {},
            roles=roles or {},
            missing=missing,
            repeats=repeats,
            title=title,
            image=image,
        )
        read = reading.read(interactions, users, items, columns or {}, choices)
        return cls(
            read.interactions,
            read.user_ids,
            read.item_ids,
            read.users,
            read.items,
            session_ids=read.session_ids,
            notes=read.notes,
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
    def known_until(self) -> float:
        """Earliest time of which this data holds no event: the cut, or just after the last event."""
        if self.cut is not None or not len(self.interactions):
            return self.until
        return float(np.nextafter(self.until, np.inf))

    @cached_property
    def event_types(self) -> tuple[EventType, ...]:
        """The types of events in the log, weakest first, with what they weigh and tell."""
        log = self.interactions
        return event_types(log.event_names, log.event, log.weight)

    @property
    def schema(self) -> Schema:
        """The names that stages may bind to."""
        return Schema(self.item_ids, self.user_ids, self.items, self.users)

    def __repr__(self) -> str:
        parts = [self._counts(), *map(str, self.event_types)]
        parts += [f"notes: {len(self.notes)}"] if self.notes else []
        return f"Dataset({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        events = [(one.name, one.role, f"{one.n_events:,}", one.weight) for one in self.event_types]
        kinds = [
            (entity, name, table.kind_of(name))
            for entity, table in (("item", self.items), ("user", self.users))
            for name in table.names
        ]
        tables = [Grid(["event", "told by it", "events", "weight"], events)] if events else []
        tables += [Grid(["table", "column", "kind"], kinds)] if kinds else []
        return html(Content(f"Dataset: {self._counts()}", tables, notes=self.notes))

    def _counts(self) -> str:
        return f"{len(self.interactions)} interactions, {self.n_users} users, {self.n_items} items"

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
        >>> Dataset.from_frame(log, min_rating=0).at_least(4)
        Dataset(2 interactions, 2 users, 2 items; purchase 1 (signal))
        """
        log = self.interactions
        kept = log.take(np.flatnonzero(log.weight >= weight))
        if len(log) and not len(kept):
            raise DataError(
                f"found no event of a weight of at least {weight}; the largest is {log.weight.max():g}"
            )
        ones = np.ones(len(kept), np.float32)
        return self.with_interactions(kept.replace(weight=ones), cut=self.cut)

    def without_repeats(self, within: Duration = "5s", *, event_ids: AnyArray | None = None) -> Dataset:
        """Return the data without events that were sent again: of one user, item and type, or of one id.

        Parameters
        ----------
        within : duration, default "5s"
            So soon after another of the same user, item and type an event is the same.
        event_ids : array_like, shape (M,), optional
            One id for each event of ``interactions``; of those of one id the first counts.

        Returns
        -------
        Dataset
            How many were left out stands last in its ``notes``.

        Examples
        --------
        >>> log = {"user": [1, 1, 1], "item": [7, 7, 7], "timestamp": [10.0, 11.0, 60.0]}
        >>> data = Dataset.from_frame(log).without_repeats()
        >>> len(data.interactions), data.notes
        (2, ('1 of 3 events were sent again, and left out',))
        """
        log = self.interactions
        ids = None if event_ids is None else np.unique(np.asarray(event_ids), return_inverse=True)[1] + 1
        if ids is not None and ids.shape != (len(log),):
            raise DataError(
                f"found event_ids of shape {ids.shape}; expected {(len(log),)}, one for each event"
            )
        again = log.repeats(seconds(within), ids)
        note = f"{int(again.sum()):,} of {len(log):,} events were sent again, and left out"
        kept = log.take(np.flatnonzero(~again))
        return replace(self, interactions=kept, notes=(*self.notes, note))

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
