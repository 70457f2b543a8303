"""Trace: a record of one run, stage by stage. The runner writes it; stages never do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, overload

import numpy as np

from recokit._kernels.top_k import order_by_score
from recokit._utils.copies import frozen
from recokit._utils.report import Content, Report, Table
from recokit.data.candidates import Candidates
from recokit.data.requests import Requests
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["Events", "Location", "StageEvent", "Status", "Trace"]

_SELECTING = frozenset({"selection", "objective", "reranker"})
_HEADER = ("stage", "role", "in", "out", "removed", "ms", "trouble")
_SHOWN = 5


class Status(IntEnum):
    """How a row was answered; the worst that happened to it."""

    OK = 0
    DEGRADED = 1  #: answered, but a stage failed, timed out or was skipped
    FALLBACK = 2  #: at least one item came from the fallback
    EMPTY = 3  #: no item passed every hard rule
    FAILED = 4  #: a hard rule could not be checked, so nothing may be shown


#: Statuses as plain numbers: numpy takes ten times as long to compare an array with a member of an enum.
DEGRADED, FALLBACK, EMPTY, FAILED = map(int, (Status.DEGRADED, Status.FALLBACK, Status.EMPTY, Status.FAILED))


@frozen
class StageEvent:
    """One stage's part in one run.

    Parameters
    ----------
    name, role : str
        The stage's path and role.
    started, seconds : float
        Start, in seconds after the run's start, and duration.
    n_in, n_out : int
        Candidates before and after. For a filter in a fused group, ``n_in - n_out`` is what it alone removed
        of the group's input, so two filters of one group may count the same candidate.
    n_rows : int
        Request rows that the stage ran on.
    error : str
        The error, empty without one.
    failed_rows : ndarray of int64
        Rows that the stage failed on.
    skipped : str
        Why the stage did not run, empty if it did.
    detail : mapping
        Numbers of its role: ``nan_share``, ``relaxed`` (limit name to rows), ``by_source``,
        ``latency_share``.
    before, after : Candidates, optional
        The batch before and after, all rows of the run, with ``capture="full"``. Filters of a fused group
        share both; ``detail["kept_by"]`` then maps each of them to its decision on ``before``. They share
        arrays with the run: read only.
    kept : ndarray of bool, optional
        A filter's decision on ``before``, with ``capture="full"``.
    """

    name: str
    role: str
    started: float
    seconds: float
    n_in: int
    n_out: int
    n_rows: int
    error: str = ""
    failed_rows: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    skipped: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    before: Candidates | None = None
    after: Candidates | None = None
    kept: BoolArray | None = None

    @property
    def removed(self) -> int:
        """Candidates that the stage removed."""
        return max(self.n_in - self.n_out, 0)


class Events(Sequence[StageEvent]):
    """Events that are made when the first is read: most traces are dropped unread.

    Parameters
    ----------
    make : callable
        Gives all of them.
    """

    def __init__(self, make: Callable[[], Iterable[StageEvent]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> tuple[StageEvent, ...]:
        return tuple(self._make())

    @overload
    def __getitem__(self, place: int) -> StageEvent: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[StageEvent, ...]: ...
    def __getitem__(self, place: int | slice) -> StageEvent | tuple[StageEvent, ...]:
        return self._made[place]

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[StageEvent]:
        return iter(self._made)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._made,)


@dataclass(frozen=True)
class Location:
    """Where one item is in one user's run: the answer to "why was it not shown".

    Parameters
    ----------
    fate : str
        ``"not retrieved"``, ``"removed"``, ``"not selected"`` or ``"shown"``.
    stage : str
        The stage that decided it.
    sources : mapping of str to int
        Sources that found the item, with their 1-based rank, 0 where a source has none.
    rank : int
        1-based rank by score before selection, 0 if it did not get there.
    position : int
        1-based place in the list, 0 if not shown.
    error : str
        Error of the hard rule that could not be checked and so removed the item.
    """

    fate: str
    stage: str
    sources: Mapping[str, int]
    rank: int = 0
    position: int = 0
    error: str = ""

    def __str__(self) -> str:
        if self.fate == "not retrieved":
            return "never retrieved"
        sources = ", ".join(f"{name} at rank {rank}" if rank else name for name, rank in self.sources.items())
        parts = [f"retrieved by {sources}" if sources else "added without a source"]
        if self.rank:
            parts.append(f"ranked {self.rank} by score")
        if self.fate == "shown":
            parts.append(f"shown at position {self.position}")
        else:
            parts.append(
                f"{self.fate} by {self.stage}" + (f", which failed: {self.error}" if self.error else "")
            )
        return ", ".join(parts)


@frozen
class Trace(Report):
    """Record of one run.

    Parameters
    ----------
    requests : Requests
        The requests, hydrated.
    events : sequence of StageEvent
        In order of execution; a stage that ran again for back-fill has one event for each time.
    status : ndarray of int64, shape (B,)
        :class:`Status` of each row.
    reasons : tuple of tuple of str
        Why each row is not OK.
    seconds : float
        Duration of the whole run.
    budget : float
        Seconds that the run might take, ``inf`` without a budget.
    overruns : mapping of str to float
        Phases that took longer than their share of the budget, with the seconds they took.
    versions : mapping of str to int
        Versions of the live values that the run pinned.
    fingerprint : str
        The pipeline's fingerprint.
    selected : Candidates, optional
        The final list, in order.
    ranked : Candidates, optional
        All candidates as they stood before selection; kept where an observer has a true ``wants_ranked``.
    users : ndarray of object (B,), optional
        External ids, None for anonymous users: a user that the model does not know has code 0.
    item_titles : ndarray of object, shape (n_items + 1,), optional
        What shows each item to people, where the item table has it.
    item_ids, user_ids : Vocabulary, optional
        Ids of the item and user codes.
    """

    requests: Requests
    events: Sequence[StageEvent]
    status: IntArray
    reasons: tuple[tuple[str, ...], ...]
    seconds: float
    budget: float
    overruns: Mapping[str, float]
    versions: Mapping[str, int]
    fingerprint: str
    selected: Candidates
    ranked: Candidates | None = None
    users: AnyArray | None = None
    item_ids: Vocabulary | None = None
    item_titles: AnyArray | None = None
    user_ids: Vocabulary | None = None

    def of(self, name: str) -> tuple[StageEvent, ...]:
        """Return the events of one stage, by path."""
        return tuple(event for event in self.events if event.name == name)

    def funnel(self) -> list[dict[str, Any]]:
        """Return one record for each event: name, role, n_in, n_out, removed, ms, error, skipped."""
        return [
            {
                "name": event.name,
                "role": event.role,
                "n_in": event.n_in,
                "n_out": event.n_out,
                "removed": event.removed,
                "ms": round(1e3 * event.seconds, 3),
                "error": event.error,
                "skipped": event.skipped,
            }
            for event in self.events
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draw the funnel of the run: what each source found, each rule took, and what the lists hold.

        Of many requests the counts are those of all together.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.funnel import draw_funnel, steps_of
        from recokit._utils.plots.style import title

        n = len(self.requests)
        ax = draw_funnel(steps_of(self.funnel(), len(self.selected)), ax)
        title(ax, f"From candidates to {'a list' if n == 1 else f'{n:,} lists'}")
        return ax

    def plot_latency(self, ax: Any = None) -> Any:
        """Draw when each stage ran and how long, in milliseconds; the longest in another colour.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.style import title
        from recokit._utils.plots.waterfall import draw_spans

        ran = [event for event in self.events if not event.skipped]
        limit = 1e3 * self.budget if np.isfinite(self.budget) else None
        ax = draw_spans(
            [event.name for event in ran],
            [1e3 * event.started for event in ran],
            [1e3 * event.seconds for event in ran],
            ax,
            whole=1e3 * self.seconds,
            limit=limit,
        )
        n = len(self.requests)
        title(ax, f"{'A request' if n == 1 else f'{n:,} requests'} in {1e3 * self.seconds:.1f} ms")
        return ax

    def locate(self, row: int, item: int) -> Location:
        """Return where an item (code) went in a row's run. Needs ``capture="full"``.

        The last event counts: an item that one selection left out and a later one took up again was shown.

        Raises
        ------
        ConfigurationError
            If the run was not captured.
        IndexError
            If there is no such row.
        """
        batches = [event for event in self.events if event.after is not None]
        if not batches:
            raise ConfigurationError("found a trace without batches; expected a run with capture='full'")
        if not 0 <= row < len(self.requests):
            raise IndexError(f"found row {row}; expected 0 to {len(self.requests) - 1}")
        sources: dict[str, int] = {}
        removers: list[str] = []
        fate, stage, rank = "not retrieved", "", 0
        for event in batches:
            assert event.after is not None
            before = -1 if event.before is None else _find(event.before, row, item)
            after = _find(event.after, row, item)
            if event.before is not None and event.role in _SELECTING and before >= 0 and not rank:
                rank = _rank_by_score(event.before, row, before)
            if after >= 0:
                sources = {**_ranks(event.after, after), **sources}
                # present at the end and yet not in the list: whoever had it last let it go
                fate, stage = "not selected", event.name
            elif before >= 0:
                fate = "not selected" if event.role in _SELECTING else "removed"
                removers = _removers(event, before)
                stage = " and ".join(removers)
        place = _find(self.selected, row, item)
        if place >= 0:
            sources = {**_ranks(self.selected, place), **sources}
            selections = [event.name for event in batches if event.role in _SELECTING]
            position = int(place - self.selected.offsets[row]) + 1
            return Location("shown", (selections or [batches[-1].name])[-1], sources, rank, position)
        if fate == "removed":
            failed = (
                event.error for event in self.events if event.name in removers and row in event.failed_rows
            )
            return Location(fate, stage, sources, rank, error=next(failed, ""))
        return Location(fate, stage, sources, rank)

    def __repr__(self) -> str:
        return f"Trace({len(self.requests)} requests, {len(self.events)} events, {1e3 * self.seconds:.1f} ms)"

    def _content(self) -> Content:
        return Content("Trace", [Table(_HEADER, self._rows())], self._summary(), warnings=self._troubles())

    def _rows(self) -> list[tuple[Any, ...]]:
        return [
            (
                *(record[name] for name in ("name", "role", "n_in", "n_out", "removed", "ms")),
                record["error"] or (f"skipped: {record['skipped']}" if record["skipped"] else ""),
            )
            for record in self.funnel()
        ]

    def _summary(self) -> str:
        counts = np.bincount(self.status, minlength=len(Status))
        status = ", ".join(f"{counts[kind]} {kind.name}" for kind in Status if counts[kind])
        budget = f" of {1e3 * self.budget:.0f} ms" if np.isfinite(self.budget) else ""
        return f"{len(self.requests)} requests in {1e3 * self.seconds:.1f} ms{budget}: {status or 'none'}"

    def _troubles(self) -> list[str]:
        slow = [f"overrun: {phase} took {1e3 * taken:.1f} ms" for phase, taken in self.overruns.items()]
        bad = [
            f"row {row} {Status(status).name}: {'; '.join(reasons)}"
            for row, (status, reasons) in enumerate(zip(self.status.tolist(), self.reasons, strict=True))
            if status != Status.OK
        ]
        more = [f"and {len(bad) - _SHOWN} more rows"] if len(bad) > _SHOWN else []
        return [*slow, *bad[:_SHOWN], *more]


def _find(batch: Candidates, row: int, item: int) -> int:
    start, end = batch.offsets[row], batch.offsets[row + 1]
    places = np.flatnonzero(batch.item[start:end] == item)
    return int(start + places[0]) if len(places) else -1


def _ranks(batch: Candidates, position: int) -> dict[str, int]:
    ranks = {}
    for bit, name in enumerate(batch.source_names):
        if int(batch.sources[position]) >> bit & 1:
            rank = batch.columns.get(f"{name}_rank")
            ranks[name] = 0 if rank is None or not np.isfinite(rank[position]) else int(rank[position])
    return ranks


def _rank_by_score(batch: Candidates, row: int, position: int) -> int:
    """Return the 1-based place that the item has in the order of scores of its row."""
    start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
    order = order_by_score(np.zeros(end - start, np.int64), batch.score[start:end])
    return int(np.flatnonzero(order == position - start)[0]) + 1


def _removers(event: StageEvent, position: int) -> list[str]:
    kept_by = event.detail.get("kept_by", {})
    return [name for name, kept in kept_by.items() if not kept[position]] or [event.name]
