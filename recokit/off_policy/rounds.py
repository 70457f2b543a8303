"""Logged rounds: what was shown, what came of it, and how likely both policies were to show it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: What a sum of probabilities may exceed 1 by after rounding.
_ROUNDING = 1e-9

_WHOLE = ("round", "position", "cluster")


@dataclass(frozen=True, eq=False, repr=False)
class LoggedRounds:
    """M impressions in n rounds: a round is one item that was shown, or a list of them.

    One policy, the logging policy, chose what was shown; the question is what another one, the target policy, would
    have been worth. All that has to be known of it is how likely it is to show what *was* shown.

    Parameters
    ----------
    reward : array_like of float, shape (M,)
        What came of each impression, such as 1 for a click. The value of a policy is the mean over rounds of their
        summed reward.
    propensity : array_like of float, shape (M,)
        Probability with which the logging policy showed the item in its place, given the places above. Above 0.
    target : array_like of float, shape (M,)
        The same of the target policy; 0 where it would not show the item, 1 where it is sure to.
    round : array_like of int, shape (M,), optional
        Number of the round; by default each impression is a round of its own.
    position : array_like of int, shape (M,), optional
        1-based place in the round's list; by default rounds are in the order of their places.
    predicted : array_like of float, shape (M,), optional
        Reward that a model predicts for each impression, for DM and the doubly robust estimators.
    expected : array_like of float, shape (M,), optional
        Reward that the model predicts for the place under the target policy: the mean of its predictions over what the
        policy would show there.
    expected_next : array_like of float, shape (M,), optional
        The same given the places above as they were logged, for CascadeDR; ``expected`` by default, which is the same
        where the target policy always gives the same list.
    marginal_propensity, marginal_target : array_like of float, shape (M,), optional
        Probabilities whatever stands above, for IIPS and the pseudo-inverse; by default those given the places above,
        which are the same where places are filled independently.
    cluster : array_like of int, shape (M,), optional
        What rounds belong together, such as the user: intervals then take clusters as independent, not rounds.

    Raises
    ------
    DataError
        Without an impression; for lengths that differ, rewards or predictions that are not finite, a propensity that is
        not above 0 and at most 1, a target outside 0 to 1, places below 1 or twice in a round, a round in two clusters.

    Examples
    --------
    >>> rounds = LoggedRounds([1.0, 0.0, 1.0], propensity=[0.5, 0.5, 0.25], target=[0.5, 0.25, 0.5])
    >>> rounds.list_weight.tolist(), rounds.logged.tolist()
    ([1.0, 0.5, 2.0], [1.0, 0.0, 1.0])
    """

    reward: FloatArray
    propensity: FloatArray
    target: FloatArray
    round: IntArray | None = None
    position: IntArray | None = None
    predicted: FloatArray | None = None
    expected: FloatArray | None = None
    expected_next: FloatArray | None = None
    marginal_propensity: FloatArray | None = None
    marginal_target: FloatArray | None = None
    cluster: IntArray | None = None

    def __post_init__(self) -> None:
        columns = {name: column for name, column in vars(self).items() if column is not None}
        for name, column in columns.items():
            columns[name] = _whole(column, name) if name in _WHOLE else np.asarray(column, np.float64)
            object.__setattr__(self, name, columns[name])
        if self.reward.ndim != 1 or not len(self.reward):
            raise DataError(
                f"found rewards of shape {self.reward.shape}; expected (M,) with at least one impression"
            )
        for name, column in columns.items():
            if column.shape != self.reward.shape:
                raise DataError(
                    f"found {name} of shape {column.shape}; expected {self.reward.shape}, one for each reward"
                )
        for name, column in columns.items():
            _check_values(name, column)
        self._check_places()

    def _check_places(self) -> None:
        if self.position is not None:
            _require(self.position >= 1, self.position, "position", "at least 1, the first place")
            place, row = self._sorted(self.position), self._row
            again = np.flatnonzero((row[1:] == row[:-1]) & (place[1:] == place[:-1])) + 1
            if len(again):
                raise DataError(
                    f"found place {place[again[0]]} twice in a round; expected each place once",
                    rows=self._at(again),
                )
        if self.cluster is not None:
            cluster, row = self._sorted(self.cluster), self._row
            mixed = np.flatnonzero((row[1:] == row[:-1]) & (cluster[1:] != cluster[:-1])) + 1
            if len(mixed):
                raise DataError(
                    "found a round in two clusters; expected one for each round", rows=self._at(mixed)
                )

    def __len__(self) -> int:
        """Return the number of rounds."""
        return len(self._starts)

    def __repr__(self) -> str:
        return f"LoggedRounds({len(self)} rounds, {len(self.reward)} impressions)"

    def replace(self, **changes: Any) -> LoggedRounds:
        """Return a copy with some columns replaced."""
        return replace(self, **changes)

    # -- layout ----------------------------------------------------------------------------------------

    @cached_property
    def _order(self) -> IntArray | None:
        """Impressions by round and place; None where they are so already."""
        if self.round is None:
            return None
        step = np.diff(self.round)
        inside = np.ones(len(step), np.bool_) if self.position is None else np.diff(self.position) > 0
        if ((step > 0) | ((step == 0) & inside)).all():
            return None
        keys = (self.round,) if self.position is None else (self.position, self.round)
        return np.lexsort(keys).astype(np.int64)

    def _sorted(self, column: AnyArray) -> AnyArray:
        return column if self._order is None else column[self._order]

    def _at(self, index: IntArray) -> IntArray:
        return index if self._order is None else self._order[index]

    @cached_property
    def _starts(self) -> IntArray:
        if self.round is None:
            return np.arange(len(self.reward))
        number = self._sorted(self.round)
        return np.flatnonzero(np.concatenate([[True], number[1:] != number[:-1]]))

    @cached_property
    def _counts(self) -> IntArray:
        return np.diff(np.append(self._starts, len(self.reward)))

    @cached_property
    def _row(self) -> IntArray:
        return np.repeat(np.arange(len(self)), self._counts)

    @property
    def width(self) -> int:
        """Places of the longest list."""
        return int(self._counts.max())

    def matrix(self, column: FloatArray, empty: float = 0.0) -> FloatArray:
        """Return a column as (n, width) float64, one row for each round; ``empty`` behind the end of short lists."""
        values = self._sorted(column)
        if (self._counts == self.width).all():
            return np.asarray(values.reshape(len(self), self.width))
        whole = np.full((len(self), self.width), empty)
        whole[self._row, np.arange(len(values)) - self._starts[self._row]] = values
        return whole

    def totals(self, column: FloatArray) -> FloatArray:
        """Return the sum of a column over each round's list, (n,) float64."""
        return np.asarray(self.matrix(column).sum(axis=1))

    # -- what estimators read --------------------------------------------------------------------------

    @cached_property
    def logged(self) -> FloatArray:
        """Summed reward of each round as it was logged, (n,) float64."""
        return self.totals(self.reward)

    @cached_property
    def rewards(self) -> FloatArray:
        """Reward of each place, (n, width) float64, 0 behind the end of short lists."""
        return self.matrix(self.reward)

    @cached_property
    def cascade_weight(self) -> FloatArray:
        """How much likelier the target policy shows the list down to each place, (n, width) float64.

        Raises
        ------
        DataError
            If a place is missing from a list: how likely what stands there is would have to be known.
        """
        if self.position is not None:
            place = self._sorted(self.position)
            gap = np.flatnonzero(place != np.arange(1, len(place) + 1) - self._starts[self._row])
            if len(gap):
                raise DataError(
                    f"found place {place[gap[0]]} without all places above it; expected places 1, 2, ... of each list, "
                    "since a place is weighed by what stands above; hint: IIPS and PseudoInverse take each place by "
                    "itself; leave out position where each impression is a round of its own",
                    rows=self._at(gap),
                )
        return np.cumprod(self.matrix(self.target / self.propensity, 1.0), axis=1, dtype=np.float64)

    @cached_property
    def list_weight(self) -> FloatArray:
        """How much likelier the target policy shows the whole list, (n,) float64."""
        return np.asarray(self.matrix(self.target / self.propensity, 1.0).prod(axis=1))

    @cached_property
    def place_weight(self) -> FloatArray:
        """How much likelier the target policy shows the item of each place there, (n, width) float64."""
        target = self.target if self.marginal_target is None else self.marginal_target
        chance = self.propensity if self.marginal_propensity is None else self.marginal_propensity
        return self.matrix(target / chance, 1.0)

    def column(self, name: str, needed_by: str) -> FloatArray:
        """Return a column of a reward model; ConfigurationError where it was not given."""
        if name == "expected_next" and self.expected_next is None:
            name = "expected"
        column: FloatArray | None = vars(self)[name]
        if column is None:
            raise ConfigurationError(
                f"found no {name}= in the rounds, which {needed_by} needs; expected what a reward model predicts; "
                "hint: ItemReward is one; IPS, SNIPS, IIPS and RIPS need none"
            )
        return column

    @cached_property
    def clusters(self) -> IntArray | None:
        """Number of each round's cluster from 0, (n,) int64; None where each round is its own."""
        if self.cluster is None:
            return None
        of_rounds = self._sorted(self.cluster)[self._starts]
        return np.asarray(np.unique(of_rounds, return_inverse=True)[1], np.int64)


def _whole(column: AnyArray, name: str) -> IntArray:
    values = np.asarray(column)
    if values.dtype.kind not in "iu":
        values = values.astype(np.float64)
        _require(np.isfinite(values) & (values == np.floor(values)), values, name, "whole numbers")
    return values.astype(np.int64)


def _check_values(name: str, column: AnyArray) -> None:
    """Raise DataError for probabilities that are none, and for rewards and predictions that are not finite."""
    if name in _WHOLE:
        return
    if name.endswith("propensity"):
        expected = (
            "above 0 and up to 1: what was shown had a chance; hint: where it was not logged, see "
            "frequency_propensity and logistic_propensity"
        )
        _require((column > 0) & (column <= 1 + _ROUNDING), column, name, expected)
    elif name.endswith("target"):
        _require((column >= 0) & (column <= 1 + _ROUNDING), column, name, "a probability, 0 to 1")
    else:
        hint = "leave out rounds whose outcome is not known" if name == "reward" else "see ItemReward"
        _require(np.isfinite(column), column, name, f"finite numbers; hint: {hint}")


def _require(ok: BoolArray, values: AnyArray, name: str, expected: str) -> None:
    bad = np.flatnonzero(~ok)
    if len(bad):
        raise DataError(f"found {name} {values[bad[0]]}; expected {expected}", rows=bad)
