"""Shape, dtype and range of what each role returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit.data import Candidates, Cap, Pin, Ragged, Requests, Retrieved, Window
from recokit.data.requests import Hydrated
from recokit.protocols import Role
from recokit.testing._failure import WrongAnswer


def check_output(result: Any, role: Role, batch: Candidates, stage: Any) -> None:
    """Raise WrongAnswer if a stage's result is not what its role promises; sources and objectives have their own."""
    if role is Role.FEATURIZER:
        _featurizer(result, batch, stage.names)
    elif role is Role.HYDRATOR:
        _hydrator(result, batch.requests)
    else:
        _CHECKS[role](result, batch)


def _array(value: Any, dtype: Any, shape: tuple[int, ...], what: str, hint: str = "") -> None:
    expected = f"{np.dtype(dtype)} {_shape(shape)}"
    if not isinstance(value, np.ndarray):
        raise WrongAnswer(
            f"{type(value).__name__} {what}", expected, hint or f"return np.array(..., {np.dtype(dtype)})"
        )
    if value.dtype != np.dtype(dtype) or value.shape != shape:
        raise WrongAnswer(f"{value.dtype} {_shape(value.shape)} {what}", expected, hint)


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _filter(result: Any, batch: Candidates) -> None:
    _array(result, np.bool_, (len(batch),), "from keep", "one decision for each candidate")


def _scorer(result: Any, batch: Candidates) -> None:
    _array(
        result,
        np.float32,
        (len(batch),),
        "from score",
        "one score for each candidate, .astype(np.float32)",
    )
    # Not scored may be what lacks a feature, or had no score before.
    complete = ~np.isnan(batch.score) & ~np.isnan(batch.features).any(axis=1)
    lost = np.flatnonzero(np.isnan(result) & complete)
    if len(lost):
        raise WrongAnswer(
            f"score nan at place {lost[0]} from score, for a candidate whose features are all there",
            "a number: NaN stands for not scored, and comes last",
        )


def _featurizer(result: Any, batch: Candidates, names: Any) -> None:
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise WrongAnswer(f"names={names!r}", "a tuple of feature names")
    if len(set(names)) != len(names):
        raise WrongAnswer(f"names={names!r}", "distinct feature names")
    hint = f"one column for each of the {len(names)} names"
    _array(result, np.float32, (len(batch), len(names)), "from featurize", hint)


def check_retrieved(result: Any, n_rows: int, *, limit: int, n_items: int) -> None:
    """Raise WrongAnswer if a source's result is not what it promises of so many requests, places and items."""
    if not isinstance(result, Retrieved):
        raise WrongAnswer(f"{type(result).__name__} from retrieve", "a Retrieved(offsets, item, score)")
    _array(result.offsets, np.int64, (n_rows + 1,), "as offsets")
    n, counts = int(result.offsets[-1]), np.diff(result.offsets)
    if result.offsets[0] != 0 or (counts < 0).any():
        raise WrongAnswer(f"offsets {result.offsets.tolist()}", "offsets from 0 that never fall")
    _array(result.item, np.int64, (n,), "as item", "one item for each place that the offsets count")
    _array(result.score, np.float32, (n,), "as score")
    if counts.max(initial=0) > limit:
        raise WrongAnswer(f"{counts.max()} items for one row", f"at most limit={limit} items for each row")
    if n and (result.item.min() < 1 or result.item.max() > n_items):
        hint = "code 0 is the unknown item: never recommend it"
        raise WrongAnswer(
            f"item codes {result.item.min()} to {result.item.max()}", f"codes 1 to {n_items}", hint
        )
    row = offsets_to_rows(result.offsets)
    pairs, times = np.unique(np.stack([row, result.item]), axis=1, return_counts=True)
    if n and times.max() > 1:
        item = pairs[1, times.argmax()]
        raise WrongAnswer(f"item {item} {times.max()} times in one row", "distinct items within a row")


def _hydrator(result: Any, requests: Requests) -> None:
    n_rows = len(requests)
    if not isinstance(result, Hydrated):
        raise WrongAnswer(f"{type(result).__name__} from hydrate", "a Hydrated(columns, ragged)")
    for name, column in result.columns.items():
        if not isinstance(column, np.ndarray) or column.shape != (n_rows,):
            raise WrongAnswer(
                f"{_kind(column)} as column {name!r}", f"an array ({n_rows},), one entry for each request"
            )
    for name, lists in result.ragged.items():
        if not isinstance(lists, Ragged) or len(lists) != n_rows:
            raise WrongAnswer(
                f"{_kind(lists)} as list {name!r}", f"a Ragged of {n_rows} rows, one for each request"
            )
        _array(lists.values, np.int64, (len(lists.values),), f"as values of list {name!r}")
        if lists.values.min(initial=0) < 0:
            raise WrongAnswer(f"code {lists.values.min()} in list {name!r}", "codes of at least 0")
        for part, column in lists.columns.items():
            if len(column) != len(lists.values):
                raise WrongAnswer(
                    f"{len(column)} entries in list {name!r}.{part}",
                    f"{len(lists.values)}, one for each value",
                )


def _constraint(result: Any, batch: Candidates) -> None:
    if not isinstance(result, tuple) or not all(isinstance(limit, Cap | Pin) for limit in result):
        raise WrongAnswer(f"{_kind(result)} from limit", "a tuple of Cap and Pin", "return (Cap(...),)")
    names = [limit.name for limit in result]
    if len(set(names)) != len(names) or not all(isinstance(name, str) and name for name in names):
        raise WrongAnswer(f"limits named {names!r}", "a distinct name for each limit")
    for limit in result:
        if isinstance(limit, Cap):
            _cap(limit, len(batch))
        else:
            _pin(limit, len(batch))


def _cap(cap: Cap, n: int) -> None:
    what = f"of Cap {cap.name!r}"
    if cap.item is not None:
        _array(cap.item, np.int64, (n,), f"as item {what}", "one item for each candidate")
        cap = cap.take(np.arange(n))
    if cap.offsets is None:
        _array(cap.group, np.int64, (n,), f"as group {what}")
    else:
        _array(cap.offsets, np.int64, (n + 1,), f"as offsets {what}")
        _array(cap.group, np.int64, (int(cap.offsets[-1]),), f"as group {what}")
    if (cap.maximum is None) == (cap.share is None) and not (cap.maximum is None and cap.minimum):
        raise WrongAnswer(
            f"maximum={cap.maximum}, share={cap.share} {what}", "exactly one of them, or a minimum"
        )
    if (cap.maximum or 0) < 0 or (cap.share is not None and not 0 < cap.share <= 1):
        found = f"maximum={cap.maximum}, share={cap.share} {what}"
        raise WrongAnswer(found, "a maximum of at least 0 or a share above 0, at most 1")
    if (cap.within is not None and cap.within < 1) or (cap.sliding and cap.within is None):
        found = f"within={cap.within}, sliding={cap.sliding} {what}"
        raise WrongAnswer(found, "at least 1 place, and a number of places where the cap slides")
    if cap.minimum < 0 or (cap.minimum and cap.sliding):
        found = f"minimum={cap.minimum}, sliding={cap.sliding} {what}"
        raise WrongAnswer(found, "a minimum of at least 0, in the first places or the whole list")


def _pin(pin: Pin, n: int) -> None:
    what = f"of Pin {pin.name!r}"
    _array(pin.position, np.int64, (n,), f"as position {what}")
    if pin.position.min(initial=0) < 0:
        raise WrongAnswer(f"position {pin.position.min()} {what}", "places from 1, or 0 for none")


def check_gain(gain: Any, window: Window) -> None:
    """Raise WrongAnswer if the gains of an objective are not what it promises of a window."""
    if not isinstance(gain, np.ndarray) or gain.dtype.kind != "f" or gain.shape != window.valid.shape:
        raise WrongAnswer(
            f"{_kind(gain)} from gain",
            f"float {_shape(window.valid.shape)}, one gain for each place of the window",
        )
    if np.isnan(gain[window.valid]).any():
        raise WrongAnswer(
            "NaN among the gains",
            "a number for each candidate of the window",
            "use window.relevance: never NaN",
        )


def _reranker(result: Any, batch: Candidates) -> None:
    n = len(batch)
    if not isinstance(result, np.ndarray) or result.dtype != np.int64 or result.ndim != 1:
        raise WrongAnswer(f"{_kind(result)} from rerank", "int64 positions, one dimension")
    if len(result) and (result.min() < 0 or result.max() >= n):
        raise WrongAnswer(
            f"positions {result.min()} to {result.max()} from rerank", f"positions 0 to {n - 1}"
        )
    if len(np.unique(result)) != len(result):
        values, times = np.unique(result, return_counts=True)
        raise WrongAnswer(
            f"position {values[times.argmax()]} {times.max()} times from rerank", "distinct positions"
        )
    if (np.diff(batch.row[result]) < 0).any():
        raise WrongAnswer(
            "positions of one row among another's from rerank", "rows together, in the batch's order of rows"
        )


def _annotator(result: Any, batch: Candidates) -> None:
    if not isinstance(result, Mapping):
        raise WrongAnswer(f"{type(result).__name__} from annotate", "a mapping of column names to arrays")
    for name, column in result.items():
        if not isinstance(column, np.ndarray) or len(column) != len(batch):
            raise WrongAnswer(
                f"{_kind(column)} as column {name!r}",
                f"an array ({len(batch)},), one entry for each candidate",
            )


def _kind(value: Any) -> str:
    return f"{value.dtype} {_shape(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


_CHECKS = {
    Role.FILTER: _filter,
    Role.SCORER: _scorer,
    Role.CONSTRAINT: _constraint,
    Role.RERANKER: _reranker,
    Role.ANNOTATOR: _annotator,
}
