"""The last question of all: whether the list is right, and the user another one than before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding
from recokit.typing import IntArray

#: Labels of a column that are compared, at most: with one label for each item everything is new.
MAX_LABELS = 200


class UserChange:
    """Whether the user's recent behaviour is another than before: lists that fit the old one look bad, and are not.

    The last events of the history are compared with the earlier ones, by the label of the items that changed most. A
    note: nothing is broken.

    Parameters
    ----------
    recent : float, default 0.2
        Share of the events of the history that are recent.
    min_events : int, default 5
        Recent events that there must be, and twice as many earlier ones.
    shift : float, default 0.4
        How much larger the share of a label must be among the recent ones.
    alpha : float, default 0.001
        Largest probability of that by chance, times the number of labels compared.
    """

    def __init__(
        self, recent: float = 0.2, min_events: int = 5, shift: float = 0.4, alpha: float = 1e-3
    ) -> None:
        self.recent, self.min_events, self.shift, self.alpha = recent, min_events, shift, alpha

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        items = evidence.requests.lists("history").values
        n_recent = max(self.min_events, int(self.recent * len(items)))
        if len(items) < n_recent + 2 * self.min_events:
            return []
        earlier, recent = items[:-n_recent], items[-n_recent:]
        moved = [
            (shift.grown, name, shift)
            for name, column in evidence.schema.items.categorical.items()
            if len(column.labels) <= MAX_LABELS
            for shift in [_largest_shift(column.codes[earlier], column.codes[recent])]
        ]
        if not moved:
            return []
        grown, name, shift = max(moved, key=lambda one: (one[0], one[1]))
        if grown < self.shift or shift.p_value() > self.alpha:
            return []
        labels = evidence.schema.items.categorical[name].labels
        return [
            finding(
                "USER_CHANGED",
                evidence={"recent": shift.recent, "earlier": shift.earlier, "events": len(items)},
                items=evidence.ids(recent[::-1]),
                group=f"{name}={labels.decode(np.array([shift.label]))[0]}",
                n=n_recent,
            )
        ]


@dataclass(frozen=True)
class _Shift:
    """A label among recent events and among earlier ones: shares, and the counts behind them."""

    label: int
    recent: float
    earlier: float
    counts: tuple[int, int, int, int]
    looked_at: int

    @property
    def grown(self) -> float:
        return self.recent - self.earlier

    def p_value(self) -> float:
        """Return the probability that as many of the label's events are recent by chance, for all labels looked at."""
        from scipy.stats import hypergeom

        n_recent, n_all, of_label, both = self.counts
        return float(hypergeom.sf(both - 1, n_all, of_label, n_recent)) * self.looked_at


def _largest_shift(earlier: IntArray, recent: IntArray) -> _Shift:
    size = int(max(earlier.max(initial=0), recent.max(initial=0))) + 1
    before, now = np.bincount(earlier, minlength=size), np.bincount(recent, minlength=size)
    grown = now / len(recent) - before / len(earlier)
    grown[0] = -1.0  # an unknown label says nothing
    label = int(np.argmax(grown))
    counts = (len(recent), len(recent) + len(earlier), int(before[label] + now[label]), int(now[label]))
    looked_at = int(np.count_nonzero(before + now))
    return _Shift(
        label, float(now[label] / len(recent)), float(before[label] / len(earlier)), counts, looked_at
    )
