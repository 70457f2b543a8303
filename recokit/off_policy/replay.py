"""Replay: what a pipeline would have shown in place of each logged list, and how likely it shows the logged one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.segments import multi_arange
from recokit._utils.progress import progress_bar
from recokit.data import Ragged, Requests, Window
from recokit.debias import ImpressionLog
from recokit.errors import DataError
from recokit.protocols import DrawsAtRandom, Runnable, traits_of
from recokit.result import Recommendations
from recokit.trace import Status
from recokit.training import require_fitted_before
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

#: Lists that are replayed at a time.
CHUNK_ROWS = 1024

#: Name of the logged lists among those that requests carry.
_LOGGED = "logged"


@dataclass(frozen=True, eq=False)
class Replay:
    """What :func:`replay` found.

    Parameters
    ----------
    log : ImpressionLog
        The impressions that were replayed, by list and place.
    target : ndarray of float64, shape (M,)
        Probability that the pipeline shows each logged item in its place, given the places above.
    drawn : ndarray of float64, shape (M,)
        1 where the pipeline, asked once and for itself, showed the logged item in its place; else 0.
    shown : ImpressionLog
        What it showed in place of each impression, row by row, without labels; item 0 where its list was shorter.
    not_shown : int
        Impressions left out because they were in place 0.
    skipped : tuple of str
        Stages left out because they depend on today's state.
    unexplained : int
        Impressions whose probability the pipeline does not know, such as those of lists that were filled up; whether it
        drew them stands in for it.
    statuses : mapping of str to int
        Lists by how the pipeline answered: OK, DEGRADED, FALLBACK, EMPTY, FAILED.
    """

    log: ImpressionLog
    target: FloatArray
    drawn: FloatArray
    shown: ImpressionLog
    not_shown: int
    skipped: tuple[str, ...]
    unexplained: int
    statuses: Mapping[str, int]

    @property
    def unseen(self) -> float:
        """Share of what the pipeline showed that the log shows nowhere, to nobody."""
        items = self.shown.item[self.shown.item > 0]
        return float(np.mean(~np.isin(items, self.log.item))) if len(items) else 0.0


def replay(
    pipeline: Runnable,
    impressions: ImpressionLog,
    *,
    seed: int = 1,
    chunk_rows: int = CHUNK_ROWS,
    progress: bool = False,
) -> Replay:
    """Ask a pipeline for each logged list again, as of the list's own time.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted on events before the first impression; ``pipeline.with_events(dataset)`` lets its stages know what
        happened up to each list.
    impressions : ImpressionLog
        In the codes of the pipeline's vocabularies. Items it does not know have code 0: it never shows them.
    seed : int, default 1
        Of stochastic stages. Not the one that the log was made with: draws would agree by construction.
    chunk_rows : int, default 1024
        Lists at a time. The result does not depend on it.
    progress : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    Replay
        A pipeline whose objective draws and knows its propensities gives the exact probability of each logged item.
        Any other gives 1 or 0: whether it showed the item, which is exact where it never draws, and right on
        average where it does.

    Raises
    ------
    ConfigurationError
        If a stage has seen events from after the first impression.
    DataError
        If nothing was shown.
    """
    live = tuple(node.name for node in pipeline if node.live)
    runner: Any = pipeline.without(*live) if live else pipeline
    log = impressions.take(impressions.position > 0)
    if not len(log):
        raise DataError(f"found no impression in a place among {len(impressions)}; expected some")
    log = log.take(np.lexsort((log.position, log.group)))
    lists = _Lists.of(log)
    stages = {node.name: node.stage for node in runner if not node.name.startswith("fallback.")}
    require_fitted_before(stages, lists.requests(np.arange(len(lists)), seed))
    drawing = next((name for name, stage in stages.items() if isinstance(stage, DrawsAtRandom)), None)
    along = None if drawing is None else runner.replace(drawing, _Along(stages[drawing]))
    item, target = np.zeros(len(log), np.int64), np.full(len(log), np.nan)
    answered = np.zeros(len(Status), np.int64)
    starts = range(0, len(lists), chunk_rows)
    for start in progress_bar(starts, show=progress, label="lists", total=len(starts)):
        rows = np.arange(start, min(start + chunk_rows, len(lists)))
        at, asked = lists.impressions(rows), lists.requests(rows, seed)
        row = np.repeat(np.arange(len(rows)), lists.counts[rows])
        made = runner.run(asked, observe=False)
        answered += np.bincount(made.status, minlength=len(Status))
        item[at] = _placed(made, row, log.position[at])[0]
        if along is not None:
            found, chance = _placed(along.run(asked, observe=False), row, log.position[at])
            # What the forced run could not place has no chance; NaN where the pipeline does not know.
            target[at] = np.where((found == log.item[at]) & (found > 0), chance, 0.0)
    drawn = ((item == log.item) & (item > 0)).astype(np.float64)
    unexplained = np.isnan(target)
    return Replay(
        log=log,
        target=np.where(unexplained, drawn, target),
        drawn=drawn,
        shown=ImpressionLog(
            log.user,
            item,
            log.timestamp,
            log.position,
            label=np.zeros(len(log), np.float32),
            group=log.group,
        ),
        not_shown=len(impressions) - len(log),
        skipped=live,
        unexplained=0 if along is None else int(np.count_nonzero(unexplained)),
        statuses={status.name: int(answered[status]) for status in Status},
    )


@dataclass(frozen=True, eq=False)
class _Lists:
    """The lists of a log that is sorted by list and place, in order of their numbers."""

    log: ImpressionLog
    starts: IntArray
    counts: IntArray
    now: FloatArray
    length: IntArray

    @classmethod
    def of(cls, log: ImpressionLog) -> _Lists:
        starts = np.flatnonzero(np.concatenate([[True], log.group[1:] != log.group[:-1]]))
        counts = np.diff(np.append(starts, len(log)))
        now = np.minimum.reduceat(log.timestamp, starts)
        return cls(log, starts, counts, now, np.maximum.reduceat(log.position, starts))

    def __len__(self) -> int:
        return len(self.starts)

    def impressions(self, rows: IntArray) -> IntArray:
        return multi_arange(self.starts[rows], self.counts[rows])

    def requests(self, rows: IntArray, seed: int) -> Requests:
        """Return the requests of some lists, each with the logged list beside it."""
        at, length = self.impressions(rows), self.length[rows]
        offsets = np.concatenate([[0], np.cumsum(length)])
        values = np.zeros(offsets[-1], np.int64)
        values[np.repeat(offsets[:-1], self.counts[rows]) + self.log.position[at] - 1] = self.log.item[at]
        return Requests.build(
            self.log.user[self.starts[rows]],
            k=length,
            now=self.now[rows],
            seed=seed,
            ragged={_LOGGED: Ragged(offsets, values)},
        )


def _placed(made: Recommendations, row: IntArray, position: IntArray) -> tuple[IntArray, FloatArray]:
    """Return item and propensity in places of rows; 0 and NaN behind the end of a list."""
    length = np.diff(made.offsets)[row]
    there = position <= length
    at = made.offsets[row[there]] + position[there] - 1
    item, chance = np.zeros(len(row), np.int64), np.full(len(row), np.nan)
    item[there] = made.item[at]
    if "propensity" in made.columns:
        chance[there] = made.columns["propensity"][at]
    return item, chance


@dataclass(frozen=True, eq=False)
class _State:
    """The inner state; where in the window the logged item of each place stands (B, K + 1), -1 for nowhere."""

    inner: Any
    wanted: IntArray
    width: int
    place: int = 0

    @property
    def now(self) -> IntArray:
        """What is wanted in the place that is next, (B,); nothing behind the end."""
        return self.wanted[:, min(self.place, self.wanted.shape[1] - 1)]


class _Along:
    """A drawing objective that is led along the logged list: its propensities are then those of the logged items.

    Where the logged item is not to be had, another one is taken, with no chance of having been the logged one; whatever
    follows in that list does not count.
    """

    provides = ("propensity",)

    def __init__(self, objective: Any) -> None:
        self.objective = objective

    @property
    def requires(self) -> tuple[str, ...]:
        """What the objective requires."""
        return traits_of(self.objective).requires

    @property
    def pool(self) -> int | None:
        """How many candidates the objective looks at."""
        pool: int | None = getattr(self.objective, "pool", None)
        return pool

    def start(self, window: Window) -> _State:
        """Return the objective's state, and where in the window each logged item stands."""
        logged = window.candidates.requests.lists(_LOGGED)
        return _State(self.objective.start(window), _wanted(window, logged), window.index.shape[1])

    def gain(self, state: _State) -> Float32Array:
        """Return 1 for the logged item of the place, 0 for all others."""
        gain = np.zeros((len(state.wanted), state.width), np.float32)
        found = np.flatnonzero(state.now >= 0)
        gain[found, state.now[found]] = 1.0
        return gain

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        return replace(state, inner=self.objective.update(state.inner, chosen, active), place=state.place + 1)

    def propensity(self, state: _State, chosen: IntArray, allowed: BoolArray) -> FloatArray:
        """Return the objective's own probability of the logged item; 0 where another had to be taken."""
        self.objective.gain(state.inner)  # the state that its gains come from
        chance = np.asarray(self.objective.propensity(state.inner, chosen, allowed), np.float64)
        return np.where(chosen == state.now, chance, 0.0)


def _wanted(window: Window, logged: Ragged) -> IntArray:
    """Return the place in the window of each logged item, (B, K + 1), -1 where it is not in it; the last column too."""
    wanted = np.full((len(logged), int(logged.counts.max(initial=0)) + 1), -1, np.int64)
    row, column = np.nonzero(window.valid)
    item = window.candidates.item[window.index[row, column]]
    n_codes = int(max(item.max(initial=0), logged.values.max(initial=0))) + 1
    key = row * n_codes + item
    order = np.argsort(key)
    if not len(order):
        return wanted
    at, found = locate_sorted(key[order], logged.rows * n_codes + logged.values)
    found = found & (logged.values > 0)
    place = np.arange(len(logged.values)) - logged.offsets[logged.rows]
    wanted[logged.rows[found], place[found]] = column[order[at[found]]]
    return wanted
