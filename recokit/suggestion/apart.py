"""What a choice is worth to users and with items that the mean hides: newcomers, the active, items without events."""

from __future__ import annotations

import numpy as np

from recokit.suggestion.result import Group
from recokit.suggestion.trials import Judged, Validation
from recokit.typing import IntArray

#: Users by their events before the cut: from so many on.
_GROUPS = (
    ("newcomers, without events", 0),
    ("users of 1 to 4 events", 1),
    ("users of 5 to 49 events", 5),
    ("users of 50 events or more", 50),
)


def groups_apart(validation: Validation, chosen: Judged, best: Judged) -> tuple[Group, ...]:
    """Return the goal for users by their events before the cut, of what was chosen and of the best single source."""
    codes = validation.train.user_ids.encode(validation.users)
    log = validation.train.interactions
    events = np.bincount(log.user, minlength=validation.train.n_users + 1)[codes]
    group = np.searchsorted([first for _, first in _GROUPS], events, side="right") - 1
    found = []
    for code, (name, _) in enumerate(_GROUPS):
        here = group == code
        if here.any():
            means = float(chosen.values[here].mean()), float(best.values[here].mean())
            found.append(Group(name, int(np.count_nonzero(here)), *means))
    return tuple(found)


def new_items_apart(validation: Validation, chosen: Judged, best: Judged) -> str:
    """Return a sentence on what users took that had no events before the cut; empty where there was nothing such."""
    width = validation.train.n_items + 1
    truth = validation.truth().values
    log = validation.train.interactions
    is_new = np.bincount(log.item, minlength=width) == 0
    n_new = int(np.count_nonzero(is_new[truth]))
    if not n_new:
        return ""

    def share(hits: IntArray) -> float:
        return float(np.count_nonzero(is_new[hits % width]) / n_new)

    return (
        f"new items: {n_new / len(truth):.0%} of what users took had no events before; {share(chosen.hits):.0%} of it "
        f"is in the lists of {chosen.tried.name}, {share(best.hits):.0%} in those of {best.tried.name}"
    )
