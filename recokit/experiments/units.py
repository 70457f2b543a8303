"""Units: one row for each unit of an experiment, out of its log of exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._utils.options import shown
from recokit.data.frames import Frame
from recokit.data.vocabulary import factorize
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.experiments.assignment import HOLDOUT, checked_weights
from recokit.experiments.exposures import read_log
from recokit.experiments.hashing import unit_names
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Units:
    """Who was in which arm since when.

    Parameters
    ----------
    ids : ndarray, shape (U,)
        Distinct units, sorted: int64 or text.
    arm : ndarray of int64, shape (U,)
        Index of the arm, the control's 0; -1 for a unit that is left out.
    since : ndarray of float64, shape (U,)
        First exposure.
    arms : tuple of str
    weights : ndarray of float64, shape (A,)
        Share that each arm should have.
    segments : mapping of str to ndarray (U,)
        Columns of the log, as of the first exposure.
    differs : ndarray of float64, shape (U,)
        Whether the arms' lists ever differed, NaN where no shadow run told.
    notes : tuple of str
        What was left out.
    """

    ids: AnyArray
    arm: IntArray
    since: FloatArray
    arms: tuple[str, ...]
    weights: FloatArray
    segments: Mapping[str, AnyArray]
    differs: FloatArray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counts(self) -> IntArray:
        """Units of each arm, (A,)."""
        return np.bincount(self.arm[self.arm >= 0], minlength=len(self.arms))

    def only(self, kept: BoolArray) -> Units:
        """Return the units with all others left out."""
        return replace(self, arm=np.where(kept, self.arm, -1))

    def rows_of(self, ids: AnyArray) -> IntArray:
        """Return the row of each id (N,), -1 for strangers; 42 and ``"42"`` are one unit."""
        if ids.dtype.kind == "i" and self.ids.dtype.kind == "i":
            at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            return np.where(self.ids[at] == ids, at, -1)
        codes, distinct = factorize(ids)
        row = {name: i for i, name in enumerate(unit_names(self.ids.tolist()))}
        found = np.array([-1, *(row.get(name, -1) for name in unit_names(distinct.tolist()))], np.int64)
        return found[codes]

    @classmethod
    def of(
        cls,
        log: Any,
        *,
        experiment: str | None = None,
        control: str | None = None,
        weights: Mapping[str, float] | None = None,
        segments: Sequence[str] = (),
    ) -> Units:
        """Return the units of a log of exposures.

        Parameters
        ----------
        log : path, dataframe, mapping or list of rows
            With ``unit``, ``arm``, ``timestamp``; further columns as of :class:`Exposures`.
        experiment : str, optional
            Its name, where the log has several.
        control : str, optional
            The control's name; ``"control"`` by default. The global holdout takes part only where it is the control.
        weights : mapping of str to float, optional
            Share that each arm should have; equal by default.
        segments : sequence of str, optional
            Columns of the log to keep.

        Raises
        ------
        DataError
            If columns are missing, or the log has several experiments and none is named.
        ConfigurationError
            If there is no such control, or only one arm.
        """
        frame, notes = _of_experiment(read_log(log), experiment), list[str]()
        arm_codes, labels = frame.labels("arm")
        frame, arm_codes = _without_forced(frame, arm_codes, notes)
        arms = _arms([str(label) for label in labels], control)
        index = np.array([-1, *(arms.index(str(one)) if str(one) in arms else -1 for one in labels)])
        codes, ids = factorize(frame.ids("unit"))
        codes = codes - 1
        times, arm = frame.times("timestamp"), index[arm_codes]
        least, most = np.full(len(ids), len(arms)), np.full(len(ids), -2)
        np.minimum.at(least, codes, arm)
        np.maximum.at(most, codes, arm)
        since = np.full(len(ids), np.inf)
        np.minimum.at(since, codes, times)
        one_arm = least == most
        crossed = int(np.count_nonzero(~one_arm & (most >= 0)))
        if crossed:
            notes.append(f"{crossed:,} units seen in several arms left out")
        first = np.flatnonzero(times == since[codes])
        columns = {name: _at_first(frame, name, codes, first, len(ids)) for name in segments}
        whole = np.where(one_arm, most, -1)
        if not (whole >= 0).any():
            raise DataError(f"found no unit in one of the arms {', '.join(arms)} alone; expected exposures")
        shares = checked_weights(weights, arms)
        differs = _differs(frame, codes, len(ids))
        return cls(
            ids=ids,
            arm=whole,
            since=since,
            arms=arms,
            weights=shares,
            segments=columns,
            differs=differs,
            notes=tuple(notes),
        )


def _of_experiment(frame: Frame, experiment: str | None) -> Frame:
    if "experiment" not in frame:
        return frame
    codes, names = frame.labels("experiment")
    if experiment is None:
        if len(names) > 1:
            raise DataError(
                f"found the experiments {', '.join(map(str, names[:5]))} in the log; expected one; hint: experiment="
            )
        return frame
    if experiment not in names.tolist():
        raise DataError(
            f"found no experiment {shown(experiment)} in the log; {did_you_mean(experiment, names)}"
        )
    return frame.filtered(names[codes - 1] == experiment)


def _without_forced(frame: Frame, codes: IntArray, notes: list[str]) -> tuple[Frame, IntArray]:
    if "forced" not in frame:
        return frame, codes
    forced = np.nan_to_num(frame.number("forced")) > 0
    if forced.any():
        notes.append(f"{int(forced.sum()):,} exposures to arms by name left out")
    return frame.filtered(~forced), codes[~forced]


def _arms(labels: Sequence[str], control: str | None) -> tuple[str, ...]:
    """Return the names of the arms, the control first."""
    first = "control" if control is None else control
    if first not in labels:
        raise ConfigurationError(
            f"found the arms {', '.join(labels)} and no {shown(first)}; expected the control among them; hint: control="
        )
    others = [label for label in labels if label not in (first, HOLDOUT)]
    if not others:
        raise ConfigurationError(f"found exposures of {first!r} only; expected those of another arm")
    return first, *others


def _at_first(frame: Frame, name: str, codes: IntArray, first: IntArray, n: int) -> AnyArray:
    """Return a column of the log as of the first exposure of each unit, as labels (object)."""
    of_row, labels = frame.labels(name)
    named = np.array(["(missing)", *map(str, labels.tolist())], object)
    column = np.full(n, named[0], object)
    # The first row of a unit wins: later ones are written before it.
    rows = first[::-1]
    column[codes[rows]] = named[of_row[rows]]
    return column


def _differs(frame: Frame, codes: IntArray, n: int) -> FloatArray:
    told = np.full(n, np.nan)
    if "differs" not in frame:
        return told
    known = frame.number("differs")
    rows = np.flatnonzero(~np.isnan(known))
    told[codes[rows]] = 0.0
    np.maximum.at(told, codes[rows], known[rows])
    return told
