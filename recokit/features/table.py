"""FeatureTable: what each feature means, to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recokit._utils.report import page, table

__all__ = ["Feature", "FeatureTable", "table_of"]


@dataclass(frozen=True)
class Feature:
    """One feature.

    Parameters
    ----------
    name : str
    family : str
        What kind of feature it is, such as ``"item activity"``.
    meaning : str
        What it tells, in a sentence.
    """

    name: str
    family: str
    meaning: str


class FeatureTable(Sequence[Feature]):
    """The features of a block, with their families and meanings.

    Parameters
    ----------
    features : sequence of Feature

    Examples
    --------
    >>> from recokit.features import Calendar
    >>> print(Calendar().table())
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

    def __str__(self) -> str:
        rows = [("name", "family", "meaning"), *((part.name, part.family, part.meaning) for part in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = (f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"FeatureTable({len(self)} features of {len(self.families)} families)"

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        rows = (f"| `{part.name}` | {part.family} | {part.meaning} |" for part in self)
        return "\n".join(["| name | family | meaning |", "|---|---|---|", *rows])

    def _repr_html_(self) -> str:
        rows = [(part.name, part.family, part.meaning) for part in self]
        return page(f"{len(self)} features", table(("name", "family", "meaning"), rows))


def table_of(block: Any) -> FeatureTable:
    """Return the table of any featurizer; one that has none tells its class and the first line of its docstring."""
    if hasattr(block, "table"):
        table: FeatureTable = block.table()
        return table
    meaning = (type(block).__doc__ or "").strip().partition("\n")[0]
    return FeatureTable([Feature(name, type(block).__name__, meaning) for name in block.names])
