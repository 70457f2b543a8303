"""Which segment carries a fault or a drop, among single segments and their combinations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recokit._utils.moved import renamed
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: How much more a segment must explain for each further dimension.
FURTHER = 1.05
#: Segments of one dimension that are looked at, the largest first.
MAX_LABELS = 50


@dataclass(frozen=True)
class Segment:
    """Users that a fault concerns more than others.

    Parameters
    ----------
    where : mapping of str to str
        Dimension and label; several together are a combination.
    n : int
        Users in it.
    inside, elsewhere : float
        Mean value of its users and of all others; of a fault, the shares that have it.
    p_value : float
        Probability of so large a difference by chance, corrected for the number of segments looked at (Bonferroni).
    looked_at : int
        That number.
    """

    where: Mapping[str, str]
    n: int
    inside: float
    elsewhere: float
    p_value: float
    looked_at: int

    @property
    def name(self) -> str:
        """Such as ``"country=NL and device=app"``; a dimension without a name gives its label alone."""
        return " and ".join(f"{key}={label}" if key else label for key, label in self.where.items())

    @property
    def effect(self) -> float:
        """Difference of the means, inside less elsewhere."""
        return self.inside - self.elsewhere

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.inside:.3g} against {self.elsewhere:.3g} elsewhere ({self.n:,} users, "
            f"p = {self.p_value:.2g} corrected for {self.looked_at:,} segments)"
        )


@renamed(least="min_users")
def find_segment(
    values: Sequence[float] | AnyArray,
    segments: Mapping[str, Sequence[str]],
    *,
    depth: int = 3,
    min_users: int = 5,
    alpha: float = 0.05,
) -> Segment | None:
    """Find the segment whose users have larger values than all others.

    Of the segments that differ beyond chance, the one that explains most of the differences between users is taken
    (the largest sum of squares between inside and outside, as a regression tree splits); a combination only where it
    explains at least 5% more than what it is a part of.

    Parameters
    ----------
    values : sequence of float, length n
        One for each user, larger is worse: 1 where a fault was found and else 0, or how far a metric fell.
    segments : mapping of str to sequence of str
        Label of each user, by dimension, such as ``{"country": [...], "device": [...]}``. Empty labels are none.
    depth : int, default 3
        Dimensions in a combination, at most.
    min_users : int, default 5
        Users that a segment, and the rest, must have.
    alpha : float, default 0.05
        Largest probability of the difference by chance, after the correction. One-sided; exact (hypergeometric) for
        values of 0 and 1, else by the normal approximation of the permutation distribution.

    Returns
    -------
    Segment or None
        None where no segment differs beyond chance.

    Raises
    ------
    DataError
        If a dimension has not one label for each value.

    Examples
    --------
    >>> country = ["NL"] * 20 + ["DE"] * 20
    >>> device = ["app", "web"] * 20
    >>> fell = [1.0 if c == "NL" and d == "app" else 0.0 for c, d in zip(country, device)]
    >>> find_segment(fell, {"country": country, "device": device}).name
    'country=NL and device=app'
    """
    value = np.asarray(values, np.float64)
    for name, labels in segments.items():
        if len(labels) != len(value):
            raise DataError(
                f"found {len(labels)} labels of {name!r}; expected {len(value)}, one for each value"
            )
    if len(value) < 2 * min_users or np.ptp(value) == 0:
        return None
    cells = list(_cells(segments, len(value), depth, min_users))
    differing: list[tuple[float, Segment]] = []
    for where, inside in cells:
        here, there = float(value[inside].mean()), float(value[~inside].mean())
        if here <= there:
            continue
        p = min(1.0, _p_value(value, inside) * len(cells))
        n = int(inside.sum())
        if p <= alpha:
            explained = n * (len(value) - n) / len(value) * (here - there) ** 2
            segment = Segment(where, n, here, there, p_value=p, looked_at=len(cells))
            differing.append((explained / FURTHER ** (len(where) - 1), segment))
    if not differing:
        return None
    return max(differing, key=lambda pair: (pair[0], -len(pair[1].where)))[1]


def _cells(
    segments: Mapping[str, Sequence[str]], n: int, depth: int, min_users: int
) -> Iterator[tuple[dict[str, str], BoolArray]]:
    coded = {name: _coded(labels) for name, labels in segments.items()}
    for size in range(1, depth + 1):
        for names in itertools.combinations(coded, size):
            key = np.zeros(n, np.int64)
            known = np.ones(n, np.bool_)
            for name in names:
                labels, codes = coded[name]
                key = key * len(labels) + codes
                known &= codes >= 0
            for cell in np.unique(key[known]):
                inside = known & (key == cell)
                if min_users <= int(inside.sum()) <= n - min_users:
                    first = int(np.flatnonzero(inside)[0])
                    yield {name: str(segments[name][first]) for name in names}, inside


def _coded(labels: Sequence[str]) -> tuple[list[str], IntArray]:
    kinds, counts = np.unique(np.array(labels, object).astype(str), return_counts=True)
    kept = [kinds[i] for i in np.argsort(-counts, kind="stable") if kinds[i]][:MAX_LABELS]
    place = {label: i for i, label in enumerate(kept)}
    return kept, np.array([place.get(str(label), -1) for label in labels], np.int64)


def _p_value(value: FloatArray, inside: BoolArray) -> float:
    """Return the probability that a random segment of that size has so large a mean."""
    n, size = len(value), int(inside.sum())
    if np.isin(value, (0.0, 1.0)).all():
        from scipy.stats import hypergeom

        return float(hypergeom.sf(value[inside].sum() - 1, n, int(value.sum()), size))
    from scipy.stats import norm

    spread = value.std() * np.sqrt((n - size) / max(n - 1, 1) / size)
    return float(norm.sf((value[inside].mean() - value.mean()) / max(spread, 1e-12)))
