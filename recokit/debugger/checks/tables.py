"""Checks of the data that every stage reads: item columns that have arrived empty, events that have not arrived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from recokit.data import DAY
from recokit.debugger.checks.causes import finding
from recokit.debugger.checks.population import Shared
from recokit.debugger.evidence import Evidence
from recokit.debugger.facts import Facts
from recokit.debugger.finding import Finding

#: Share of the values of an item column that must be gone.
GONE = 0.4
#: Users who must show that events are missing, and share of all users whose features must have changed with them.
MIN_USERS, CHANGED = 3, 0.5
#: How much larger the share of events that stand in a history before must be, on average.
TWICE = 0.2
#: Events of one type that must be known to the baseline for their absence to count.
MIN_EVENTS = 5


class ItemColumns:
    """Item columns whose values the baseline's table has, and this one's has not."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        return [
            finding("ITEM_COLUMN_LOST", "", {"column": name, "share": share})
            for name, share in evidence.columns_lost.items()
            if share > GONE
        ]


class MissingEvents:
    """Events that no stage has seen: of the last days, or of one type.

    Where it is the log that lacks them, and not the hydrator, the features of most users change with it.
    """

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        pairs = _changed_pairs(users)
        if not pairs:
            return []
        everyone = range(len(users))
        cutoff = max(one.newest for one, _ in pairs)
        late = [usual for one, usual in pairs if usual.newest > one.newest]
        beyond = [usual.newest for _, usual in pairs if usual.newest > cutoff]
        found: list[Shared] = []
        if len(beyond) >= MIN_USERS and len(beyond) >= len(late) / 2 and max(beyond) - cutoff > DAY / 4:
            figures = {"days": (max(beyond) - cutoff) / DAY, "users": len(late)}
            found.append((finding("EVENTS_LATE", "", figures), everyone))
        usually, here = _types([usual for _, usual in pairs]), _types([one for one, _ in pairs])
        for kind, n in usually.items():
            if n >= MIN_EVENTS and not here.get(kind) and here:
                found.append((finding("EVENT_TYPE_LOST", "", {"type": int(kind), "usual": n}), everyone))
        return found


class RepeatedEvents:
    """Events that all stages see several times: a part of the log has been read again."""

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        pairs = _changed_pairs(users)
        again, usual = (float(np.mean([pair[side].again for pair in pairs] or [0.0])) for side in (0, 1))
        if again <= usual + TWICE:
            return []
        return [(finding("EVENTS_DUPLICATED", "", {"again": again, "usual": usual}), range(len(users)))]


def _changed_pairs(users: Sequence[Facts]) -> list[tuple[Facts, Facts]]:
    """Return users' facts beside the baseline's where there are enough, and the features of most have changed."""
    pairs = [(one, one.usual) for one in users if one.usual is not None]
    changed = sum(one.features_changed for one, _ in pairs)
    return pairs if len(pairs) >= MIN_USERS and changed >= CHANGED * len(pairs) else []


def _types(users: Sequence[Facts]) -> Mapping[int, int]:
    counts: Counter[int] = Counter()
    for one in users:
        counts.update(one.types)
    return counts
