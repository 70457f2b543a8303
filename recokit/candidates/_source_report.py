"""SourceReport: the figures of sources, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from recokit._utils import report as _html
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import FloatArray

__all__ = ["ALL", "FUSED", "HEAD", "TOGETHER", "SourceFigures", "SourceReport"]

#: The segment of all users.
ALL = "all"
#: The rows of all sources together, and of what a Merge makes of them.
TOGETHER, FUSED = "together", "fused"
#: Share of the catalogue, the most popular items, that counts as its head.
HEAD = 0.2
_BACKENDS = ("pandas", "polars", "pyarrow")


@dataclass(frozen=True)
class SourceFigures:
    """One source for one segment of users; means are over users.

    Parameters
    ----------
    source, segment : str
        Of whom; ``"together"`` are all sources, each with its first k, ``"fused"`` what a Merge makes of them.
    n_users : int
        Users with a relevant item.
    recall : mapping of int to float
        Share of a user's relevant items among the first k, by k.
    only : mapping of int to float
        The part of it that no other source finds among its own first k: what would be lost without this one. NaN for
        ``"together"`` and ``"fused"``.
    candidates : float
        Length of its lists, up to the largest k.
    answered : float
        Share of users that got any.
    """

    source: str
    segment: str
    n_users: int
    recall: Mapping[int, float]
    only: Mapping[int, float]
    candidates: float
    answered: float


@dataclass(frozen=True, eq=False, repr=False)
class SourceReport:
    """What :func:`report` found.

    Parameters
    ----------
    k : tuple of int
        Depths, ascending.
    sources : tuple of str
        Names of the S sources.
    segments : tuple of str
        ``"all"`` and the names of the segments.
    figures : tuple of SourceFigures
        One for each source and segment, then for ``"together"``, and ``"fused"`` for a Merge.
    overlap : ndarray of float64, shape (S, S)
        Jaccard similarity of two sources' lists up to the largest k: mean over the users with a candidate from either.
    coverage : mapping of str to float
        Share of the catalogue in anybody's list.
    popularity : mapping of str to float
        Share of train users that took a candidate, mean over candidates.
    head_share : mapping of str to float
        Share of candidates from the fifth of the catalogue that most users took.
    now : float
        Request time, as of which the histories are.
    """

    k: tuple[int, ...]
    sources: tuple[str, ...]
    segments: tuple[str, ...]
    figures: tuple[SourceFigures, ...]
    overlap: FloatArray
    coverage: Mapping[str, float]
    popularity: Mapping[str, float]
    head_share: Mapping[str, float]
    now: float

    def __getitem__(self, key: str | tuple[str, str]) -> SourceFigures:
        """Return the figures of a source, or of a source and a segment.

        Raises
        ------
        ConfigurationError
            If there are none of this name.
        """
        source, segment = (key, ALL) if isinstance(key, str) else key
        names = list(dict.fromkeys(figures.source for figures in self.figures))
        for what, name, known in (("source", source, names), ("segment", segment, self.segments)):
            if name not in known:
                raise ConfigurationError(f"found no {what} {name!r}; {did_you_mean(name, known)}")
        return next(part for part in self.figures if (part.source, part.segment) == (source, segment))

    def to_records(self) -> list[dict[str, Any]]:
        """Return one record for each source and segment; what is undefined is None."""
        return [
            {
                "source": part.source,
                "segment": part.segment,
                "users": part.n_users,
                **{f"recall@{k}": _json(part.recall[k]) for k in self.k},
                **{f"only@{k}": _json(part.only[k]) for k in self.k},
                "candidates": _json(part.candidates),
                "answered": _json(part.answered),
                **{
                    name: values[part.source] if part.segment == ALL else None
                    for name, values in self._catalogue.items()
                },
            }
            for part in self.figures
        ]

    @property
    def _catalogue(self) -> dict[str, Mapping[str, float]]:
        return {"coverage": self.coverage, "popularity": self.popularity, "head_share": self.head_share}

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "k": list(self.k),
            "sources": list(self.sources),
            "segments": list(self.segments),
            "now": self.now,
            "figures": self.to_records(),
            "overlap": [[_json(value) for value in row] for row in self.overlap.tolist()],
        }

    def to_frame(self, backend: Literal["pandas", "polars", "pyarrow"] = "pandas") -> Any:
        """Return the records as a dataframe of the named library, which must be installed.

        Raises
        ------
        ConfigurationError
            For any other backend.
        """
        if backend not in _BACKENDS:
            raise ConfigurationError(f"found backend={backend!r}; expected one of {', '.join(_BACKENDS)}")
        import narwhals.stable.v2 as nw

        records = self.to_records()
        columns = {name: [record[name] for record in records] for name in records[0]}
        return nw.from_dict(columns, backend=backend).to_native()

    def _header(self) -> list[str]:
        depths = [f"{what}@{k}" for what in ("recall", "only") for k in self.k]
        return ["source", "segment", "users", *depths, "candidates", "answered", *self._catalogue]

    def _rows(self) -> list[list[str]]:
        return [
            [
                str(record["source"]),
                str(record["segment"]),
                f"{record['users']:,}",
                *(_number(record[name], 4) for name in self._header()[3:-5]),
                _number(record["candidates"], 1),
                *(_number(record[name], 3) for name in self._header()[-4:]),
            ]
            for record in self.to_records()
        ]

    def _overlap_rows(self) -> list[list[str]]:
        return [
            [name, *(_number(value, 3) for value in row)]
            for name, row in zip(self.sources, self.overlap.tolist(), strict=True)
        ]

    def _note(self) -> str:
        return (
            f"recall: share of a user's relevant items among the first k; only: what no other source has there; "
            f"overlap: Jaccard of the lists up to {self.k[-1]}; head_share: candidates from the most popular "
            f"{HEAD:.0%} of the catalogue"
        )

    def __repr__(self) -> str:
        parts = [_grid(self._header(), self._rows())]
        if len(self.sources) > 1:
            parts.append(_grid(["overlap", *self.sources], self._overlap_rows()))
        return "\n\n".join([*parts, self._note()])

    def _repr_html_(self) -> str:
        body = _html.table(self._header(), self._rows())
        if len(self.sources) > 1:
            body += _html.table(["overlap", *self.sources], self._overlap_rows())
        return _html.page(f"Candidates of {len(self.sources)} sources", body, self._note())


def _json(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (header, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)
