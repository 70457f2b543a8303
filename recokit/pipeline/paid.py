"""Paid places: items that the catalogue flags as sponsored are labelled in every list, whatever stages there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recokit.data import Candidates, Schema
from recokit.pipeline.plan import Plan
from recokit.protocols import Discloses
from recokit.typing import BoolArray

#: Item columns that say that somebody pays.
PAID_COLUMNS = (
    "sponsored",
    "is_sponsored",
    "promoted",
    "is_promoted",
    "advertised",
    "is_advertised",
    "is_ad",
)


class Paid(NamedTuple):
    """A label, and which items must carry it, by item code, (n_items + 1,) bool."""

    label: str
    items: BoolArray


def paid_items(plan: Plan, schema: Schema) -> tuple[Paid, ...]:
    """Return what to label: the flags of the catalogue that no annotator of the plan discloses in every row."""
    disclosing = [
        node.stage for node in plan.annotators if isinstance(node.stage, Discloses) and node.when is None
    ]
    return tuple(
        Paid(name.removeprefix("is_"), schema.item_column(name) > 0)
        for name in PAID_COLUMNS
        if name in schema.items.numeric_names and not any(stage.discloses(name) for stage in disclosing)
    )


def labelled(listed: Candidates, paid: Sequence[Paid]) -> Candidates:
    """Return lists whose paid items carry their labels in the column ``labels``."""
    if not paid:
        return listed
    labels = listed.columns.get("labels")
    labels = np.full(len(listed), "", object) if labels is None else labels.copy()
    for label, items in paid:
        for place in np.flatnonzero(items[listed.item]).tolist():
            known = str(labels[place] or "")
            if label not in known.split(","):
                labels[place] = f"{known},{label}" if known else label
    return listed.with_columns({"labels": labels})
