"""What events are indexed by: codes of users, items, their labels, sessions and price bands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from recokit._kernels.hashing import mix
from recokit.data.dataset import Dataset
from recokit.data.interactions import Interactions
from recokit.data.ragged import Ragged
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, FloatArray, IntArray, UInt64Array

#: Bands of prices, two to each doubling.
N_BANDS = 128
_PLAIN = ("user", "item", "session", "price_band")


def price_bands(value: AnyArray) -> IntArray:
    """Return the band of each price: two bands to each doubling, 1 to 128; 0 for what is no price.

    The edges are fixed, so a band tells nothing about prices of the future.

    Parameters
    ----------
    value : ndarray of float, any shape
        Prices; NaN where unknown.

    Examples
    --------
    >>> price_bands(np.array([1.0, 1.3, 1.5, 2.0, 0.0, np.nan])).tolist()
    [65, 65, 66, 67, 0, 0]
    """
    priced = np.isfinite(value) & (value > 0)
    band = np.floor(2.0 * np.log2(np.where(priced, value, 1.0))).astype(np.int64) + N_BANDS // 2 + 1
    return np.where(priced, np.clip(band, 1, N_BANDS), 0)


def part_codes(dataset: Dataset, parts: Iterable[str]) -> dict[str, IntArray]:
    """Return the label codes, by entity code, of those parts that are columns of the tables.

    Raises
    ------
    ConfigurationError
        For a part that is none, or a column that the dataset lacks.
    """
    codes = {}
    for part in sorted(parts):
        if part in _PLAIN:
            continue
        entity, _, column = part.partition(".")
        if entity not in ("user", "item") or not column:
            raise ConfigurationError(
                f"found the entity {part!r}; expected 'user.COLUMN', 'item.COLUMN' or one of {', '.join(_PLAIN)}"
            )
        table = dataset.users if entity == "user" else dataset.items
        table.labels(column)
        codes[part] = table.column(column)
    return codes


def part_sets(dataset: Dataset, codes: Mapping[str, IntArray]) -> dict[str, Ragged]:
    """Return the single labels of each entity, by entity code, for those parts that hold several."""
    sets = {}
    for part in codes:
        entity, _, column = part.partition(".")
        labelled = (dataset.users if entity == "user" else dataset.items).labelled(column)
        if labelled.separator is not None:
            sets[part] = Ragged(labelled.several.offsets, labelled.several.code)
    return sets


def part_sizes(dataset: Dataset, codes: Mapping[str, IntArray]) -> dict[str, int]:
    """Return the number of codes of every part, 0 included."""
    session = dataset.interactions.session
    sizes = {
        "user": dataset.n_users + 1,
        "item": dataset.n_items + 1,
        "session": 1 if session is None else int(session.max(initial=0)) + 1,
        "price_band": N_BANDS + 1,
    }
    for part in codes:
        entity, _, column = part.partition(".")
        labelled = (dataset.users if entity == "user" else dataset.items).labelled(column)
        several = 0 if labelled.separator is None else len(labelled.several.labels)
        sizes[part] = max(len(labelled.labels), several) + 1
    return sizes


def event_codes(log: Interactions, part: str, codes: Mapping[str, IntArray]) -> IntArray:
    """Return the code that each event has in a part, (M,) int64."""
    if part == "price_band":
        return price_bands(log.value)
    if part == "session":
        return np.zeros(len(log), np.int64) if log.session is None else log.session
    code = log.user if part.partition(".")[0] == "user" else log.item
    return codes[part][code] if part in codes else code


def identities(user: IntArray, item: IntArray, event: IntArray, time: FloatArray) -> UInt64Array:
    """Return 64 bits that tell events apart: equal for the same user, item, event type and time."""
    state = np.zeros(len(user), np.uint64)
    for part in (user, item, event):
        state = mix(state ^ part.astype(np.uint64))
    return mix(state ^ (time + 0.0).view(np.uint64))
