"""Evaluations: several recommenders on the same users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recokit._html import page, table
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation._tables import grid, markdown
from recokit.evaluation.comparison import Comparison, Difference, compare, compare_all
from recokit.evaluation.report import ALL, Evaluation, notes_of, rows_of, title_of

__all__ = ["Evaluations"]


@dataclass(frozen=True, eq=False)
class Evaluations(Mapping[str, Evaluation]):
    """Several recommenders, evaluated on the same users: a mapping of name to :class:`Evaluation`."""

    parts: Mapping[str, Evaluation] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Evaluation:
        if name not in self.parts:
            raise ConfigurationError(f"found no evaluation {name!r}; {did_you_mean(name, self.parts)}")
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def compare(self, a: str, b: str, metric: str, *, segment: str = ALL) -> Difference:
        """Return the paired difference a minus b, see :func:`compare`."""
        return compare(self[a], self[b], metric, segment=segment)

    def compare_all(
        self, baseline: str, metrics: Sequence[str] | None = None, *, segment: str = ALL, power: float = 0.8
    ) -> Comparison:
        """Compare every other recommender with one, each metric, corrected for the number of tests.

        See :func:`compare_all`.
        """
        others = [part for name, part in self.parts.items() if name != baseline]
        return compare_all(self[baseline], others, metrics, segment=segment, power=power)

    def plot(self, metric: str, *, ax: Any = None) -> Any:
        """Draw a metric's means and intervals of each segment side by side; needs matplotlib (extra ``plots``).

        Returns
        -------
        matplotlib Axes
        """
        from recokit.evaluation._plots import draw_scores

        return draw_scores(self.parts, metric, ax)

    def to_markdown(self) -> str:
        """Return the table of figures in Markdown, the notes below it."""
        parts = list(self.parts.values())
        header, rows = self._table()
        return markdown(header, rows, [title_of(parts[0]), *notes_of(parts)])

    def to_records(self) -> list[dict[str, Any]]:
        """Return the records of all, see :meth:`Evaluation.to_records`."""
        return [record for part in self.parts.values() for record in part.to_records()]

    def to_dict(self) -> dict[str, Any]:
        """Return each one's figures by name, ready for JSON."""
        return {name: part.to_dict() for name, part in self.parts.items()}

    def _table(self) -> tuple[list[str], list[list[str]]]:
        parts = list(self.parts.values())
        by_segment = zip(*([[part.name, *row] for row in rows_of(part)] for part in parts), strict=True)
        return ["name", "segment", "users", *parts[0].metrics], [row for rows in by_segment for row in rows]

    def __str__(self) -> str:
        parts = list(self.parts.values())
        return "\n".join([title_of(parts[0]), grid(*self._table()), *notes_of(parts)])

    def _repr_html_(self) -> str:
        parts = list(self.parts.values())
        header, rows = self._table()
        return page("Evaluation", table(header, rows), "; ".join([title_of(parts[0]), *notes_of(parts)]))
