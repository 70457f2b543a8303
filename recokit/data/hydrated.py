"""Hydrated: what is added to the requests before the sources run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recokit.data.ragged import Ragged
from recokit.typing import AnyArray

__all__ = ["Hydrated"]


@dataclass(frozen=True, eq=False)
class Hydrated:
    """What a hydrator adds to the requests.

    Parameters
    ----------
    columns : mapping of str to ndarray (B,)
        Context columns; a column that the caller gave wins.
    ragged : mapping of str to Ragged
        Lists for each row; rows that the caller gave win.
    """

    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    ragged: Mapping[str, Ragged] = field(default_factory=dict)
