"""What a stage answered, in one shape for all roles: for each request row, named parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.top_k import top_k
from recokit.data import Candidates, Cap, Window
from recokit.protocols import Role
from recokit.typing import AnyArray, IntArray

#: The one verb of each role.
VERBS: Mapping[Role, str] = {
    Role.HYDRATOR: "hydrate",
    Role.SOURCE: "retrieve",
    Role.FILTER: "keep",
    Role.FEATURIZER: "featurize",
    Role.SCORER: "score",
    Role.CONSTRAINT: "limit",
    Role.OBJECTIVE: "gain",
    Role.RERANKER: "rerank",
    Role.ANNOTATOR: "annotate",
}
#: Relative and absolute tolerance of scores: BLAS and FAISS round by the shape of a batch.
_RTOL, _ATOL = 1e-5, 1e-5
#: Places that an objective fills in a check.
_PICKS = 4
#: Candidates in an objective's window.
_WINDOW = 16


@dataclass(frozen=True, eq=False)
class Answer:
    """Named parts for each row.

    Parameters
    ----------
    rows : list of dict of str to ndarray
        The parts of each row.
    """

    rows: list[dict[str, AnyArray]]

    def common(self, other: Answer) -> Answer:
        """Return the parts that the other answer has as well."""
        rows = zip(self.rows, other.rows, strict=True)
        return Answer(
            [{name: part for name, part in mine.items() if name in others} for mine, others in rows]
        )


def call(stage: Any, role: Role, batch: Candidates, limit: int) -> Any:
    """Call a stage's verb as the runner does; an objective fills a few places of each row."""
    if role is Role.HYDRATOR:
        return stage.hydrate(batch.requests)
    if role is Role.SOURCE:
        return stage.retrieve(batch.requests, limit)
    if role is Role.OBJECTIVE:
        return _greedy(stage, window_of(batch))
    return getattr(stage, VERBS[role])(batch)


def answer_of(result: Any, role: Role, batch: Candidates, stage: Any) -> Answer:
    """Split a result that has passed the check of its shape into rows."""
    if role is Role.HYDRATOR:
        return Answer([_hydrated_row(result, b) for b in range(len(batch.requests))])
    spans = [slice(int(a), int(b)) for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    if role is Role.SOURCE:
        ends = zip(result.offsets[:-1], result.offsets[1:], strict=True)
        return Answer([{"items": result.item[a:b], "scores": result.score[a:b]} for a, b in ends])
    if role is Role.CONSTRAINT:
        parts = [_limit_rows(limit, spans) for limit in result]
        return Answer([{k: v for part in parts for k, v in part[b].items()} for b in range(len(spans))])
    if role is Role.OBJECTIVE:
        return Answer([{"choices": result[0][b], "gains": result[1][b]} for b in range(len(spans))])
    if role is Role.RERANKER:
        row = batch.row[result]
        return Answer([{"order": result[row == b] - span.start} for b, span in enumerate(spans)])
    if role is Role.ANNOTATOR:
        return Answer([{name: column[span] for name, column in result.items()} for span in spans])
    if role is Role.FEATURIZER:
        return Answer(
            [{f"feature {n}": result[span, f] for f, n in enumerate(stage.names)} for span in spans]
        )
    name = "decisions" if role is Role.FILTER else "scores"
    return Answer([{name: result[span]} for span in spans])


def difference(found: dict[str, AnyArray], expected: dict[str, AnyArray]) -> str:
    """Describe the first difference between two rows' answers; empty if there is none that matters."""
    if set(found) != set(expected):
        return f"parts {sorted(found)} against {sorted(expected)}"
    if "items" in found:
        return _difference_of_lists(found, expected)
    for name, mine in found.items():
        text = _difference(name, mine, expected[name])
        if text:
            return text
    return ""


def window_of(batch: Candidates) -> Window:
    """Return the padded view of each row's best candidates that an objective works in."""
    offsets, order = top_k(batch.offsets, batch.score, _WINDOW)
    counts = np.diff(offsets)
    width = int(counts.max(initial=0))
    column = np.arange(width)
    valid = column < counts[:, None]
    index = np.zeros((len(counts), width), np.int64)
    index[valid] = order
    score = np.where(valid & (len(batch) > 0), np.append(batch.score, np.nan)[index], np.nan)
    finite = np.isfinite(score)
    low = np.where(finite, score, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(finite, score, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    relevance = np.where(high > low, (score - low) / spread, 1.0)
    return Window(batch, index, valid, np.where(finite, relevance, 0.0).astype(np.float32))


def _greedy(stage: Any, window: Window) -> tuple[IntArray, AnyArray]:
    """Fill places greedily; the choices (B, K), -1 where a row ran out, and each step's gains (B, K, W)."""
    b, w = window.valid.shape
    rows = np.arange(b)
    state = stage.start(window)
    free = window.valid.copy()
    choices = np.full((b, _PICKS), -1, np.int64)
    gains = np.full((b, _PICKS, w), np.nan, np.float32)
    for place in range(_PICKS if w else 0):
        gain = np.array(stage.gain(state), copy=True)
        gains[:, place] = np.where(free, gain, np.nan)
        active = free.any(axis=1)
        chosen = np.where(free & np.isfinite(gain), gain, -np.inf).argmax(axis=1)
        chosen = np.where(free[rows, chosen], chosen, free.argmax(axis=1))
        choices[active, place] = chosen[active]
        free[rows[active], chosen[active]] = False
        state = stage.update(state, chosen.astype(np.int64), active)
    return choices, gains


def _hydrated_row(result: Any, b: int) -> dict[str, AnyArray]:
    parts = {f"column {name}": np.asarray(column[b : b + 1]) for name, column in result.columns.items()}
    for name, lists in result.ragged.items():
        span = slice(int(lists.offsets[b]), int(lists.offsets[b + 1]))
        parts[f"list {name}"] = lists.values[span]
        parts |= {f"list {name}.{part}": column[span] for part, column in lists.columns.items()}
    return parts


def _limit_rows(limit: Any, spans: list[slice]) -> list[dict[str, AnyArray]]:
    name = str(limit.name)
    if not isinstance(limit, Cap):
        return [{f"{name} position": limit.position[span]} for span in spans]
    limit = limit.take(np.arange(len(limit)))
    options = np.array(
        [
            limit.maximum or 0,
            limit.share or 0,
            limit.within or 0,
            limit.sliding,
            limit.hard,
            limit.relax_order,
            limit.minimum,
        ]
    )
    rows = []
    for span in spans:
        if limit.offsets is None:
            group, counts = limit.group[span], np.ones(span.stop - span.start)
        else:
            group = limit.group[limit.offsets[span.start] : limit.offsets[span.stop]]
            counts = np.diff(limit.offsets[span.start : span.stop + 1])
        rows.append({f"{name} options": options, f"{name} groups": group, f"{name} group counts": counts})
    return rows


def _difference_of_lists(found: dict[str, AnyArray], expected: dict[str, AnyArray]) -> str:
    """Compare lists of items: those with equal scores may change places, also with what just missed the list."""
    items, wanted = found["items"], expected["items"]
    text = _difference("scores", found["scores"], expected["scores"])
    if text:
        return text
    score = expected["scores"].astype(np.float64)
    for position in np.flatnonzero(items != wanted).tolist():
        tied = np.isclose(score, score[position], rtol=_RTOL, atol=_ATOL, equal_nan=True)
        elsewhere = items[position] in wanted[tied] or (tied[-1] and items[position] not in wanted)
        if not elsewhere:
            return f"item {items[position]} against {wanted[position]} at place {position + 1}"
    return ""


def _difference(name: str, mine: AnyArray, other: AnyArray) -> str:
    mine, other = np.asarray(mine), np.asarray(other)
    if "gains" in name and mine.shape != other.shape:
        # A batch pads its windows to the longest row; what a row itself has comes first.
        width = min(mine.shape[-1], other.shape[-1])
        mine, other = mine[..., :width], other[..., :width]
    if mine.shape != other.shape:
        return f"{len(mine)} {name} against {len(other)}"
    if mine.dtype.kind == "f" and other.dtype.kind == "f":
        same = np.isclose(mine, other, rtol=_RTOL, atol=_ATOL, equal_nan=True)
    else:
        same = np.asarray(mine == other) | np.asarray((mine != mine) & (other != other))
    if same.all():
        return ""
    first = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{name} {_shown(mine[first])} against {_shown(other[first])}"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
