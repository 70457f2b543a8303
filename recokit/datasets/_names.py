"""Names of items: free text even where names repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recokit.data import Dataset
from recokit.typing import AnyArray

__all__ = ["with_names"]


def with_names(data: Dataset, item_ids: AnyArray, names: Sequence[str] | AnyArray) -> Dataset:
    """Return the dataset with the text column ``name``, None for items that have none."""
    name = np.full(data.n_items + 1, None, object)
    name[data.item_ids.encode(item_ids)] = names
    return replace(data, items=replace(data.items, other={**data.items.other, "name": name}))
