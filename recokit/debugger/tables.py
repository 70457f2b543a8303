"""Item tables of two models side by side: which columns have lost their values."""

from __future__ import annotations

import numpy as np

from recokit.data import Schema
from recokit.typing import AnyArray

#: Items that must have a value there for its absence here to count.
MIN_ITEMS = 5


def columns_lost(mine: Schema, usual: Schema) -> dict[str, float]:
    """Return the share of the items of which a column has no value here, and one in another model, by column."""
    codes = mine.item_ids.encode(usual.item_ids.decode(np.arange(1, len(usual.item_ids) + 1)))
    there = codes > 0
    theirs, here = np.flatnonzero(there) + 1, codes[there]
    lost: dict[str, float] = {}
    usually, now = _columns(usual), _columns(mine)
    for name, known in usually.items():
        n_usual = int(known[theirs].sum())
        if name not in now:
            lost[name] = 1.0
        elif n_usual >= MIN_ITEMS:
            lost[name] = float((known[theirs] & ~now[name][here]).sum() / n_usual)
    return {name: share for name, share in lost.items() if share > 0}


def _columns(schema: Schema) -> dict[str, AnyArray]:
    """Return which items have a value, by column; in a column of numbers zero is none where nothing else stands."""
    table = schema.items
    known: dict[str, AnyArray] = {
        name: np.asarray(column.codes != 0) for name, column in table.categorical.items()
    }
    for place, name in enumerate(table.numeric_names):
        values = table.numeric[:, place]
        known[name] = np.isfinite(values) & (values != 0)
    return known
