"""Recommendations: the lists that a pipeline returns, with their statuses and traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit._utils.copies import frozen
from recokit._utils.options import shortened
from recokit._utils.report import page, table
from recokit.data.candidates import Candidates, missing
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, StageError
from recokit.trace import Status, Trace
from recokit.typing import AnyArray, Float32Array, IntArray

if TYPE_CHECKING:
    from recokit._utils.frames_out import Backend

__all__ = ["Recommendations"]

_SHOWN = 5
#: Characters of a title, or of a user's id, in a repr.
_TITLE = 30
_EXPLAINED = ("title", "reasons", "explanation")


@frozen
class Recommendations:
    """One list for each request.

    Parameters
    ----------
    users : ndarray, shape (B,)
        External user ids; None for anonymous ones.
    offsets : ndarray of int64, shape (B + 1,)
        Row ``b`` holds items ``offsets[b]:offsets[b + 1]``, best first.
    item : ndarray of int64, shape (N,)
        Item codes.
    score : ndarray of float32, shape (N,)
        Score of the ranker; NaN where an item came from the fallback or was not scored.
    columns : mapping of str to ndarray (N,)
        Source ranks and scores, labels and other annotations.
    sources : tuple of tuple of str
        Names of the sources of each item.
    status : ndarray of int64, shape (B,)
        :class:`~recokit.trace.Status` of each row.
    reasons : tuple of tuple of str
        Why each row is not OK.
    item_ids : Vocabulary
        Decodes the items.
    traces : tuple of Trace
        One for each chunk of the batch, in order.
    fingerprint : str
        The pipeline's fingerprint.
    """

    users: AnyArray
    offsets: IntArray
    item: IntArray
    score: Float32Array
    columns: Mapping[str, AnyArray]
    sources: tuple[tuple[str, ...], ...]
    status: IntArray
    reasons: tuple[tuple[str, ...], ...]
    item_ids: Vocabulary
    traces: tuple[Trace, ...] = ()
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def trace(self) -> Trace:
        """The trace of a run of one chunk; a larger batch has several, in ``traces``."""
        if len(self.traces) != 1:
            raise ConfigurationError(f"found {len(self.traces)} traces; expected one; hint: use .traces")
        return self.traces[0]

    def _span(self, row: int) -> slice:
        if not -len(self) <= row < len(self):
            raise IndexError(f"found row {row}; expected 0 to {len(self) - 1}")
        row %= len(self)
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]))

    def codes(self, row: int) -> IntArray:
        """Return the item codes of one row, best first."""
        return self.item[self._span(row)]

    def ids(self, row: int) -> list[Any]:
        """Return the external item ids of one row, best first."""
        return list(self.item_ids.decode(self.codes(row)).tolist())

    def titles(self, row: int) -> list[str]:
        """Return what shows the items of one row to people, best first: their titles, or their ids as text."""
        ids, titles = self.ids(row), self.columns.get("title")
        shown = [None] * len(ids) if titles is None else titles[self._span(row)].tolist()
        return [str(item) if title is None else str(title) for item, title in zip(ids, shown, strict=True)]

    def scores(self, row: int) -> Float32Array:
        """Return the scores of one row, in the order of its items."""
        return self.score[self._span(row)]

    def to_records(self) -> list[list[dict[str, Any]]]:
        """Return one list of records for each row: item_id, score, rank (1-based), sources, labels.

        With :class:`recokit.rules.Reasons` in the pipeline also its texts, ``reasons`` and ``explanation``.
        """
        return [self.records(row) for row in range(len(self))]

    def records(self, row: int) -> list[dict[str, Any]]:
        """Return the records of one row, as ``to_records`` has them."""
        span = self._span(row)
        labels = self.columns.get("labels")
        marks = [None] * (span.stop - span.start) if labels is None else labels[span].tolist()
        texts = {name: self.columns[name][span].tolist() for name in _EXPLAINED if name in self.columns}
        rows = zip(self.ids(row), self.score[span].tolist(), self.sources[span], marks, strict=True)
        return [
            {
                "item_id": item_id,
                "score": score,
                "rank": rank,
                "sources": list(sources),
                "labels": str(mark).split(",") if mark else [],
                **{name: of_row[rank - 1] for name, of_row in texts.items()},
            }
            for rank, (item_id, score, sources, mark) in enumerate(rows, 1)
        ]

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return long columns user_id, item_id, score, rank (1-based) and the annotations, each (N,)."""
        counts = np.diff(self.offsets)
        own = {
            "user_id": np.repeat(self.users, counts),
            "item_id": self.item_ids.decode(self.item),
            "score": self.score,
            "rank": np.arange(1, len(self.item) + 1) - np.repeat(self.offsets[:-1], counts),
        }
        return own | {name: column for name, column in self.columns.items() if name not in own}

    def to_frame(self, backend: Backend | None = None) -> Any:
        """Return the long columns as a dataframe.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            The library; by default the first of these that is installed, and a list of records where none is.

        Raises
        ------
        ConfigurationError
            For any other backend, or one that is not installed.
        """
        from recokit._utils.frames_out import to_frame

        return to_frame(self.to_arrays(), backend)

    def raise_for_status(self) -> Recommendations:
        """Return self; raise StageError if any row FAILED."""
        failed = np.flatnonzero(self.status == Status.FAILED)
        if len(failed):
            first = int(failed[0])
            raise StageError(
                f"found {len(failed)} failed rows, the first {first}: {'; '.join(self.reasons[first])}",
                name="pipeline",
                role="pipeline",
            )
        return self

    @classmethod
    def from_candidates(
        cls, selected: Candidates, users: AnyArray, item_ids: Vocabulary, trace: Trace
    ) -> Recommendations:
        """Build from the final candidates of a run, with what shows the items to people as their ``title``."""
        columns, titles = selected.columns, trace.item_titles
        if titles is not None and "title" not in columns:
            columns = {**columns, "title": titles[selected.item]}
        return cls(
            users=users,
            offsets=selected.offsets,
            item=selected.item,
            score=selected.score,
            columns=columns,
            sources=source_names(selected),
            status=trace.status,
            reasons=trace.reasons,
            item_ids=item_ids,
            traces=(trace,),
            fingerprint=trace.fingerprint,
        )

    @classmethod
    def concat(cls, parts: Sequence[Recommendations]) -> Recommendations:
        """Join the answers of several batches, in order.

        Columns that a part lacks are NaN there (0, False or None by dtype).

        Raises
        ------
        ConfigurationError
            If there is no part, or parts come from different pipelines or vocabularies.
        """
        if not parts:
            raise ConfigurationError("found no parts; expected at least one")
        first = parts[0]
        for part in parts:
            if part.fingerprint != first.fingerprint or part.item_ids != first.item_ids:
                raise ConfigurationError("found parts of different pipelines; expected answers of one")
        if len(parts) == 1:
            return first
        like = {name: column for part in reversed(parts) for name, column in part.columns.items()}
        return cls(
            users=np.concatenate([part.users for part in parts]),
            offsets=counts_to_offsets(np.concatenate([np.diff(part.offsets) for part in parts])),
            item=np.concatenate([part.item for part in parts]),
            score=np.concatenate([part.score for part in parts]),
            columns={
                name: np.concatenate(
                    [
                        part.columns[name] if name in part.columns else missing(len(part.item), column)
                        for part in parts
                    ]
                )
                for name, column in like.items()
            },
            sources=tuple(chain.from_iterable(part.sources for part in parts)),
            status=np.concatenate([part.status for part in parts]),
            reasons=tuple(chain.from_iterable(part.reasons for part in parts)),
            item_ids=first.item_ids,
            traces=tuple(chain.from_iterable(part.traces for part in parts)),
            fingerprint=first.fingerprint,
        )

    def __repr__(self) -> str:
        counts = f"{_counted(len(self.item), 'item')} for {_counted(len(self), 'user')}"
        head = f"Recommendations({counts}: {self._statuses()})"
        lines = [head, self._first_list(), self._first_reason()]
        return "\n".join(filter(None, lines))

    def _statuses(self) -> str:
        """Return how many rows have each status."""
        counts = np.bincount(self.status, minlength=len(Status))
        return ", ".join(f"{counts[kind]} {kind.name}" for kind in Status if counts[kind]) or "none asked"

    def _first_list(self) -> str:
        """Return the first list that has an item, in a line."""
        filled = np.flatnonzero(np.diff(self.offsets))
        if not len(filled):
            return ""
        row = int(filled[0])
        titles = [shortened(title, _TITLE) for title in self.titles(row)[:_SHOWN]]
        more = f", and {len(self.codes(row)) - _SHOWN} more" if len(self.codes(row)) > _SHOWN else ""
        listed = ", ".join(f"{place}. {title}" for place, title in enumerate(titles, 1))
        return f"  {self._who(row)}: {listed}{more}"

    def _first_reason(self) -> str:
        """Return why the first row that is not OK is not; where all are, the first that has something to say."""
        bad = np.flatnonzero(self.status != Status.OK)
        said = [row for row, reasons in enumerate(self.reasons) if reasons] if not len(bad) else bad
        if not len(said):
            return ""
        row = int(said[0])
        why = shortened("; ".join(self.reasons[row]), 160)
        return f"  {self._who(row)} is {Status(int(self.status[row])).name}" + (f": {why}" if why else "")

    def _who(self, row: int) -> str:
        user = self.users[row]
        return f"row {row}, anonymous" if user is None else shortened(user, _TITLE)

    def _repr_html_(self) -> str:
        rows = []
        for row, user in enumerate(self.users[:_SHOWN].tolist()):
            status = Status(int(self.status[row])).name
            for record in self.records(row):
                score, marks = (
                    "-" if np.isnan(record["score"]) else f"{record['score']:.4g}",
                    (", ".join(record[name]) for name in ("sources", "labels")),
                )
                rows.append(
                    (user, record["rank"], record.get("title") or record["item_id"], score, *marks, status)
                )
            if not len(self.codes(row)):
                rows.append((user, "", "", "", "", "", f"{status}: {'; '.join(self.reasons[row])}"))
        note = "" if len(self) <= _SHOWN else f"first {_SHOWN} of {len(self)} users"
        header = ("user", "rank", "item", "score", "sources", "labels", "status")
        return page("Recommendations", table(header, rows), note)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def source_names(candidates: Candidates) -> tuple[tuple[str, ...], ...]:
    """Return the names of each candidate's sources, decoded from the bits once for each distinct mask."""
    masks = candidates.sources.tolist()
    decoded = {
        mask: tuple([name for bit, name in enumerate(candidates.source_names) if mask >> bit & 1])
        for mask in set(masks)
    }
    return tuple([decoded[mask] for mask in masks])
