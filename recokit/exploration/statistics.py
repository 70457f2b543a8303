"""Statistics: how often each item was tried, and with what success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit.data import Dataset, Live, Window
from recokit.data.event_types import names_of
from recokit.errors import ConfigurationError, DataError
from recokit.exploration._draws import window_items
from recokit.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Statistics:
    """Trials and successes of each item, over all or for each label of a context column; never changed.

    Put one into a :class:`~recokit.data.Live` to change it while serving: ``live.set(live.pin()[1].updated(...))``.

    Parameters
    ----------
    trials, successes : ndarray of float64, shape (L + 1, n_items + 1)
        By label and item code; row 0 counts all labels together, and stands for unknown ones. A success may count a
        part of one, as a reward from 0 to 1.
    column : str, default ""
        The context column, such as ``"device"``; empty for none.
    labels : tuple
        Its L labels.

    Raises
    ------
    DataError
        If shapes differ, or there are not at least as many trials as successes and as many successes as 0.

    Examples
    --------
    >>> known = Statistics.empty(3).updated([1, 1, 2], [1.0, 0.0, 0.0])
    >>> known.trials[0].tolist(), known.successes[0].tolist()
    ([0.0, 2.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0])
    """

    trials: FloatArray
    successes: FloatArray
    column: str = ""
    labels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.labels) + 1
        if self.trials.ndim != 2 or len(self.trials) != rows or self.trials.shape != self.successes.shape:
            raise DataError(
                f"found trials of shape {self.trials.shape} and successes of {self.successes.shape}; "
                f"expected ({rows}, n_items + 1), a row for all labels and one for each of {len(self.labels)}"
            )
        if not ((self.successes >= 0) & (self.trials >= self.successes) & np.isfinite(self.trials)).all():
            raise DataError("found successes below 0 or above the trials; expected 0 <= successes <= trials")
        if bool(self.column) != bool(self.labels):
            raise DataError(f"found column {self.column!r} with labels {self.labels}; expected both or none")

    @classmethod
    def empty(cls, n_items: int, *, column: str = "", labels: Sequence[Any] = ()) -> Statistics:
        """Return the statistics of a catalogue without any trial."""
        zero = np.zeros((len(labels) + 1, n_items + 1))
        return cls(zero, zero, column, tuple(labels))

    @classmethod
    def of(cls, dataset: Dataset, *, success: str = "click", trial: str = "impression") -> Statistics:
        """Count events of a dataset.

        Parameters
        ----------
        dataset : Dataset
        success, trial : str
            Names of the events. Items with more successes than trials count as always successful.

        Raises
        ------
        DataError
            If there is no such event.
        """
        log = dataset.interactions
        for name in (success, trial):
            if not names_of(log.event_names, name):
                raise DataError(f"found no event {name!r}; expected one of {', '.join(log.event_names)}")
        n = dataset.n_items + 1
        successes, trials = (
            np.bincount(log.of(name).item, minlength=n).astype(np.float64) for name in (success, trial)
        )
        return cls(np.maximum(trials, successes)[None], successes[None])

    def updated(
        self,
        item: Sequence[int] | IntArray,
        success: Sequence[float] | AnyArray,
        label: Sequence[Any] | None = None,
    ) -> Statistics:
        """Return statistics with more trials.

        Parameters
        ----------
        item : sequence of int, length M
            Item codes.
        success : sequence of float, length M
            From 0 to 1.
        label : sequence, length M, optional
            Labels of the context column; unknown ones count in row 0 only.

        Raises
        ------
        DataError
            If lengths differ, a code is none of the catalogue's or a success is out of range.
        """
        item, success = np.asarray(item, np.int64), np.asarray(success, np.float64)
        width = self.trials.shape[1]
        if item.shape != success.shape or item.ndim != 1 or (label is not None and len(label) != len(item)):
            raise DataError(f"found {item.shape} items and {success.shape} successes; expected one of each")
        if len(item) and (
            item.min() < 0 or item.max() >= width or not ((success >= 0) & (success <= 1)).all()
        ):
            raise DataError(
                f"found codes up to {item.max()}; expected at most {width - 1}, successes from 0 to 1"
            )
        trials, successes = self.trials.copy(), self.successes.copy()
        np.add.at(trials[0], item, 1.0)
        np.add.at(successes[0], item, success)
        if label is not None:
            row = self.label_rows(np.asarray(label, object))
            known = row > 0
            np.add.at(trials, (row[known], item[known]), 1.0)
            np.add.at(successes, (row[known], item[known]), success[known])
        return Statistics(trials, successes, self.column, self.labels)

    def without(self, label: Any) -> tuple[Statistics, float]:
        """Return statistics without the trials of a label, and how many these were; the label stays, with none."""
        if label not in self.labels:
            return self, 0.0
        row = self.labels.index(label) + 1
        trials, successes = self.trials.copy(), self.successes.copy()
        n = float(trials[row].sum())
        for counts in (trials, successes):
            counts[0] -= counts[row]
            counts[row] = 0.0
        # What is left of sums and differences of parts of successes may be a rounding error below 0.
        successes = np.clip(successes, 0.0, trials)
        return Statistics(trials, successes, self.column, self.labels), n

    def label_rows(self, label: AnyArray) -> IntArray:
        """Return the row of each label, 0 for unknown ones."""
        rows = np.zeros(len(label), np.int64)
        for row, known in enumerate(self.labels, 1):
            rows[label == known] = row
        return rows

    def in_window(self, window: Window) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return trials and successes of each candidate, (B, W), and all trials in its context, (B, 1)."""
        item = window_items(window)
        width = self.trials.shape[1]
        if item.size and item.max() >= width:
            raise DataError(
                f"found item code {item.max()}; expected at most {width - 1}: statistics of other data?"
            )
        rows = np.zeros((len(item), 1), np.int64)
        batch = window.candidates
        if self.column and len(batch) and item.size:
            labels = np.asarray(batch.requests.column(self.column), object)
            rows = self.label_rows(labels[batch.row[window.index[:, 0]]])[:, None]
        return (
            self.trials[rows, item],
            self.successes[rows, item],
            self.trials[rows[:, 0]].sum(axis=1)[:, None],
        )


def checked_statistics(statistics: Any) -> Any:
    """Return statistics or a Live of them; ConfigurationError for anything else."""
    value = statistics.pin()[1] if isinstance(statistics, Live) else statistics
    if not isinstance(value, Statistics):
        raise ConfigurationError(
            f"found statistics of type {type(value).__name__}; expected Statistics, or a Live of one"
        )
    return statistics


def context_of(statistics: Any) -> tuple[str, ...]:
    """Return the context column that statistics are looked up by, as a stage requires it."""
    value: Statistics = statistics.pin()[1] if isinstance(statistics, Live) else statistics
    return (f"context.{value.column}",) if value.column else ()


def erase_label(policy: Any, label: Any) -> int:
    """Take a label's trials out of a policy's statistics, where labels are visitors; return how many."""
    held = policy.statistics
    known: Statistics = held.pin()[1] if isinstance(held, Live) else held
    left, n = known.without(label)
    if left is known:
        return 0
    if isinstance(held, Live):
        held.set(left)
    else:
        policy.statistics = left
    return round(n)
