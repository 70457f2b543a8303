"""The kernel of position-based click models: counts by group and place, and what makes them most likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.errors import DataError
from recokit.training.position_bias import PositionBias
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["Cells", "most_likely", "pairs_of_cells"]


@dataclass(frozen=True, eq=False)
class Cells:
    """Impressions and clicks of each group in each place where it was shown; places from 0."""

    group: IntArray
    place: IntArray
    shown: FloatArray
    clicks: FloatArray
    n_places: int

    @classmethod
    def of(cls, group: IntArray, position: IntArray, clicked: FloatArray) -> Cells:
        """Count impressions (N,), each of a group, in a 1-based place."""
        return cls.build(group, position - 1, np.ones(len(group)), clicked)

    @classmethod
    def build(cls, group: IntArray, place: IntArray, shown: FloatArray, clicks: FloatArray) -> Cells:
        """Add up parts (M,) of the same group and place."""
        n_places = int(place.max(initial=-1)) + 1
        _, code = np.unique(group, return_inverse=True)
        found, cell = np.unique(code * max(n_places, 1) + place, return_inverse=True)
        return cls(
            found // max(n_places, 1),
            found % max(n_places, 1),
            _sums(cell, shown, len(found)),
            _sums(cell, clicks, len(found)),
            n_places,
        )

    def bias(self, examination: FloatArray, n_unused: int) -> PositionBias:
        """Return an examination with what it was estimated from."""
        shown, clicks = (_sums(self.place, part, self.n_places) for part in (self.shown, self.clicks))
        return PositionBias(examination, shown, clicks, n_unused)


def _sums(code: IntArray, values: FloatArray, n: int) -> FloatArray:
    sums: FloatArray = np.bincount(code, values, n).astype(np.float64, copy=False)
    return sums


def most_likely(cells: Cells, max_iterations: int = 2000, tolerance: float = 1e-7) -> tuple[FloatArray, int]:
    """Return the examination (K,) that makes the clicks most likely, and the steps it took."""
    _require_comparable(cells)
    place, group, n_groups = cells.place, cells.group, int(cells.group.max()) + 1
    place_shown = np.bincount(place, cells.shown)
    group_shown = np.bincount(group, cells.shown)
    skipped = cells.shown - cells.clicks
    examination, relevance = _start(cells, n_groups)
    step, change = 0, np.inf
    while step < max_iterations and change > tolerance:
        seen, wanted = examination[place], relevance[group]
        # Of what was not clicked: how much was examined and not wanted, or wanted and not examined.
        missed = skipped / np.maximum(1.0 - seen * wanted, 1e-12)
        of_place = np.bincount(place, cells.clicks + missed * seen * (1.0 - wanted)) / place_shown
        relevance = np.bincount(group, cells.clicks + missed * wanted * (1.0 - seen), n_groups) / group_shown
        change = float(np.abs(of_place / of_place[0] - examination / examination[0]).max())
        examination, step = of_place, step + 1
    return examination / examination[0], step


def _start(cells: Cells, n_groups: int) -> tuple[FloatArray, FloatArray]:
    """Return a start that is the answer already where clicks are rare; steps from anywhere else are many and small."""
    clicks = np.bincount(cells.place, cells.clicks)
    wanted = np.bincount(cells.group, cells.clicks, n_groups)
    examination = np.ones(cells.n_places)
    for _ in range(50):
        relevance = wanted / np.bincount(cells.group, cells.shown * examination[cells.place], n_groups)
        examination = clicks / np.bincount(cells.place, cells.shown * relevance[cells.group])
    scale = 0.9 / max(float(examination.max()), 1e-12)
    return examination * scale, np.minimum(relevance / scale, 0.95)


def _require_comparable(cells: Cells) -> None:
    clicks = np.bincount(cells.place, cells.clicks, max(cells.n_places, 1))
    if not (clicks > 0).all():
        raise DataError(
            f"found no click on place {int(np.argmin(clicks > 0)) + 1} among {cells.shown.sum():.0f} impressions; "
            "expected some on every place; hint: more impressions, or fewer places"
        )
    reached = np.zeros(cells.n_places, np.bool_)
    reached[0] = True
    for _ in range(cells.n_places):
        groups = np.zeros(int(cells.group.max()) + 1, np.bool_)
        groups[cells.group[reached[cells.place]]] = True
        reached[cells.place[groups[cells.group]]] = True
    if not reached.all():
        raise DataError(
            f"found nothing that ties place {int(np.argmin(reached)) + 1} to the first one; expected things shown in "
            "several places; hint: randomised swaps tie them"
        )


def pairs_of_cells(cells: Cells, moved: BoolArray) -> tuple[IntArray, IntArray]:
    """Return all pairs of cells of one group, the higher place of the list first."""
    at = np.flatnonzero(moved)
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    # Cells are sorted by group and place: those of a group lie within so many steps of each other.
    for step in range(1, cells.n_places):
        later = at[step:]
        earlier = at[: len(later)]
        same = cells.group[earlier] == cells.group[later]
        first.append(earlier[same])
        second.append(later[same])
    return np.concatenate(first), np.concatenate(second)
