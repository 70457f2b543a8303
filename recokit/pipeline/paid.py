"""Paid places: items that the catalogue flags as sponsored are labelled in every list, whatever stages there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recokit.data import Candidates, Schema
from recokit.pipeline.plan import Plan
from recokit.protocols import Discloses
from recokit.typing import BoolArray

#: Names of item columns that say that somebody pays, in small letters without marks between them, and their labels.
PAID_COLUMNS = {
    **{name: name for name in ("sponsored", "promoted", "advertised", "advertisement")},
    **{f"is{name}": name for name in ("sponsored", "promoted", "advertised", "advertisement", "ad")},
}
#: Text in such a column that says that nobody does.
UNPAID = frozenset(
    {"", "0", "0.0", "no", "n", "f", "false", "off", "none", "null", "nan", "na", "n/a", "-", "organic"}
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
    columns = [(name, PAID_COLUMNS.get(_spelled(name), "")) for name in schema.items.names]
    return tuple(
        Paid(label, _flagged(schema, name))
        for name, label in columns
        if label and not any(stage.discloses(name) for stage in disclosing)
    )


def _spelled(name: str) -> str:
    """Return a column's name without what spells it one way or another: ``isSponsored``, ``sponsored_flag``."""
    plain = "".join(filter(str.isalnum, name)).lower()
    return plain.removesuffix("flag")


def _flagged(schema: Schema, name: str) -> BoolArray:
    """Return the items that a column flags: numbers above 0, and any text but one that says no, as a payer's name."""
    column = schema.item_column(name)
    if name in schema.items.numeric_names:
        return np.asarray(column > 0)
    if name in schema.items.categorical:
        labels = schema.items.labels(name)
        texts = ["", *labels.decode(np.arange(1, len(labels) + 1)).tolist()]
        return np.array([str(text).strip().lower() not in UNPAID for text in texts], np.bool_)[column]
    if column.dtype.kind != "O":
        return np.zeros(len(column), np.bool_)
    return np.array([str(text or "").strip().lower() not in UNPAID for text in column.tolist()], np.bool_)


def labelled(listed: Candidates, paid: Sequence[Paid]) -> Candidates:
    """Return lists whose paid items carry their labels in the column ``labels``."""
    labels = listed.columns.get("labels")
    labels = np.full(len(listed), "", object) if labels is None else labels.copy()
    for label, items in paid:
        for place in np.flatnonzero(items[listed.item]).tolist():
            known = str(labels[place] or "")
            if label not in known.split(","):
                labels[place] = f"{known},{label}" if known else label
    return listed.with_columns({"labels": labels})
