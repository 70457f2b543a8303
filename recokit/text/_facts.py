"""Facts: what may be said of an item in a list, taken from what the pipeline did and from the catalogue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit.data import Ragged
from recokit.data.table import Table
from recokit.errors import ConfigurationError
from recokit.protocols import SimilarItems
from recokit.result import Recommendations
from recokit.trace import Trace

#: Items like one, among which those of the user's history are looked for.
_LIKE = 50


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason of ``rules.Reasons``: ``source.item_knn=3`` is of kind ``source``, with a name and a number."""

    kind: str
    name: str
    value: str = ""

    @property
    def code(self) -> str:
        """Kind and name."""
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that may be said of one item in one list.

    Parameters
    ----------
    item : str
        What shows it to people.
    reasons : tuple of Reason
    attributes : tuple of (name, text)
        Of the item.
    because : tuple of str
        Items of the user's own history that are like it.
    fate : str
        For an item that is not in the list: why.
    """

    item: str
    reasons: tuple[Reason, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    because: tuple[str, ...] = ()
    fate: str = ""

    def has(self, code: str) -> bool:
        """Tell whether there is a reason of this code."""
        return any(reason.code == code for reason in self.reasons)

    def to_json(self) -> str:
        """Return them as data for a prompt: nothing in a title can be taken for an instruction's end."""
        shown: dict[str, Any] = {"item": self.item}
        if self.because:
            shown["like items you chose"] = list(self.because)
        shown["reasons"] = [{"kind": one.kind, "name": one.name, "value": one.value} for one in self.reasons]
        shown |= dict(self.attributes)
        return json.dumps(shown, ensure_ascii=True)


def read_reasons(text: str) -> tuple[Reason, ...]:
    """Return the reasons of a column ``reasons``.

    Examples
    --------
    >>> [(one.code, one.value) for one in read_reasons("source.popular=1; label.sponsored")]
    [('source.popular', '1'), ('label.sponsored', '')]
    """
    found = []
    for part in filter(None, text.split("; ")):
        code, _, value = part.partition("=")
        kind, _, name = code.partition(".")
        found.append(Reason(kind, name, value))
    return tuple(found)


def facts_of(
    result: Recommendations,
    *,
    items: Table | None,
    columns: Sequence[str],
    similar: SimilarItems | None,
) -> list[Facts]:
    """Return the facts of every item of a result, in its order.

    Raises
    ------
    ConfigurationError
        If the result has no column ``reasons``.
    """
    if "reasons" not in result.columns:
        raise ConfigurationError(
            "found a result without reasons; expected them; hint: rules.Reasons() as the last stage of the pipeline"
        )
    titles = [title for row in range(len(result)) for title in result.titles(row)]
    reasons = [read_reasons(text) for text in result.columns["reasons"].tolist()]
    attributes = attributes_of(items, columns, result.item.tolist())
    because = _because(result, similar)
    return [Facts(*each) for each in zip(titles, reasons, attributes, because, strict=True)]


def attributes_of(
    items: Table | None, columns: Sequence[str], codes: Sequence[int]
) -> list[tuple[tuple[str, str], ...]]:
    """Return the columns of items that have a value, as texts."""
    if items is None:
        return [()] * len(codes)
    read = {name: _texts(items, name) for name in columns}
    return [
        tuple((name, text) for name, texts in read.items() if (text := texts(code)) is not None)
        for code in codes
    ]


def _texts(items: Table, name: str) -> Any:
    """Return a function from an item code to a column's text, None where it is missing."""
    values = items.column(name)
    if items.named(name) in items.categorical:
        labels = items.labels(name).ids.tolist()
        return lambda code: str(labels[values[code] - 1]) if values[code] > 0 else None
    if values.dtype.kind == "O":
        return lambda code: None if values[code] is None else str(values[code])
    return lambda code: f"{values[code]:.6g}" if np.isfinite(values[code]) else None


def _because(result: Recommendations, similar: SimilarItems | None) -> list[tuple[str, ...]]:
    """Return for each item the titles of those of the user's history that it is like."""
    if similar is None or not len(result.item):
        return [()] * len(result.item)
    distinct = np.unique(result.item)
    like = similar.similar(distinct, _LIKE)
    found: list[tuple[str, ...]] = []
    row = 0
    for trace in result.traces:
        history = trace.requests.lists("history")
        for place in range(len(trace.requests)):
            span = slice(int(result.offsets[row]), int(result.offsets[row + 1]))
            found += [
                _liked(
                    item=item,
                    distinct=distinct,
                    like=like,
                    history=history,
                    row=place,
                    trace=trace,
                    result=result,
                )
                for item in result.item[span].tolist()
            ]
            row += 1
    return found


def _liked(
    item: int, distinct: Any, like: Any, history: Ragged, row: int, trace: Trace, result: Recommendations
) -> tuple[str, ...]:
    own = set(history.values[history.offsets[row] : history.offsets[row + 1]].tolist()) - {0, item}
    place = int(np.searchsorted(distinct, item))
    near = like.item[like.offsets[place] : like.offsets[place + 1]].tolist()
    first = next((one for one in near if one in own), None)
    if first is None:
        return ()
    title = None if trace.item_titles is None else trace.item_titles[first]
    return (str(result.item_ids.decode(np.array([first]))[0] if title is None else title),)
