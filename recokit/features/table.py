"""FeatureTable: the features of a block, with their meanings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from recokit._utils.report import Content, Report, Table


@dataclass(frozen=True)
class Feature:
    """One feature.

    Parameters
    ----------
    name : str
    family : str
        Kind of the feature, such as ``"item activity"``.
    meaning : str
        Its meaning, in a sentence.
    """

    name: str
    family: str
    meaning: str


class FeatureTable(Report, Sequence[Feature]):
    """The features of a block, with their families and meanings.

    Parameters
    ----------
    features : sequence of Feature

    Examples
    --------
    >>> from recokit.features import Calendar
    >>> print(Calendar().table())
    2 features
    name     family    meaning
    hour     calendar  hour of the request, 0 to 23, UTC
    weekday  calendar  day of the week of the request, 0 is Monday, UTC
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, place: Any) -> Any:
        return self._features[place]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._features)

    @property
    def families(self) -> tuple[str, ...]:
        """The families, each once, in order."""
        return tuple(dict.fromkeys(feature.family for feature in self))

    def __repr__(self) -> str:
        return f"FeatureTable({len(self)} features of {len(self.families)} families)"

    def _content(self) -> Content:
        rows = [(part.name, part.family, part.meaning) for part in self]
        return Content(f"{len(self)} features", [Table(("name", "family", "meaning"), rows)])


@runtime_checkable
class Described(Protocol):
    """A featurizer that has a table of its features."""

    def table(self) -> FeatureTable:
        """Return the meaning of each feature."""
        ...


def table_of(block: Any) -> FeatureTable:
    """Return the table of any featurizer; one without has its class and the first line of its docstring."""
    if isinstance(block, Described):
        return block.table()
    meaning = (type(block).__doc__ or "").strip().partition("\n")[0]
    return FeatureTable([Feature(name, type(block).__name__, meaning) for name in block.names])
