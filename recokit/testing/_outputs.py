"""Shape, dtype and range of what each role returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit.data import Candidates, Cap, Pin, Ragged, Retrieved
from recokit.data.requests import Hydrated
from recokit.protocols import Role
from recokit.testing._answers import window_of
from recokit.testing._running import frozen

if TYPE_CHECKING:
    from recokit.testing._subject import Subject

__all__ = ["check_output"]


def check_output(subject: Subject, result: Any, batch: Candidates, stage: Any) -> None:
    """Raise ContractFailure if a stage's result is not what its role promises."""
    if subject.role is Role.FEATURIZER:
        _featurizer(subject, result, batch, stage.names)
    elif subject.role is Role.OBJECTIVE:
        _objective(subject, batch, stage)
    else:
        _CHECKS[subject.role](subject, result, batch)


def _array(
    subject: Subject, value: Any, dtype: Any, shape: tuple[int, ...], what: str, hint: str = ""
) -> None:
    expected = f"{np.dtype(dtype)} {_shape(shape)}"
    if not isinstance(value, np.ndarray):
        subject.fail(
            f"{type(value).__name__} {what}", expected, hint or f"return np.array(..., {np.dtype(dtype)})"
        )
    if value.dtype != np.dtype(dtype) or value.shape != shape:
        subject.fail(f"{value.dtype} {_shape(value.shape)} {what}", expected, hint)


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _filter(subject: Subject, result: Any, batch: Candidates) -> None:
    _array(subject, result, np.bool_, (len(batch),), "from keep", "one decision for each candidate")


def _scorer(subject: Subject, result: Any, batch: Candidates) -> None:
    _array(
        subject,
        result,
        np.float32,
        (len(batch),),
        "from score",
        "one score for each candidate, .astype(np.float32)",
    )


def _featurizer(subject: Subject, result: Any, batch: Candidates, names: Any) -> None:
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        subject.fail(f"names={names!r}", "a tuple of feature names")
    if len(set(names)) != len(names):
        subject.fail(f"names={names!r}", "distinct feature names")
    hint = f"one column for each of the {len(names)} names"
    _array(subject, result, np.float32, (len(batch), len(names)), "from featurize", hint)


def _source(subject: Subject, result: Any, batch: Candidates) -> None:
    n_rows = len(batch.requests)
    if not isinstance(result, Retrieved):
        subject.fail(f"{type(result).__name__} from retrieve", "a Retrieved(offsets, item, score)")
    _array(subject, result.offsets, np.int64, (n_rows + 1,), "as offsets")
    n, counts = int(result.offsets[-1]), np.diff(result.offsets)
    if result.offsets[0] != 0 or (counts < 0).any():
        subject.fail(f"offsets {result.offsets.tolist()}", "offsets from 0 that never fall")
    _array(subject, result.item, np.int64, (n,), "as item", "one item for each place that the offsets count")
    _array(subject, result.score, np.float32, (n,), "as score")
    if counts.max(initial=0) > subject.limit:
        subject.fail(f"{counts.max()} items for one row", f"at most limit={subject.limit} items for each row")
    largest = max(subject.dataset.n_items, int(batch.item.max(initial=0)))
    if n and (result.item.min() < 1 or result.item.max() > largest):
        hint = "code 0 is the unknown item: never recommend it"
        subject.fail(f"item codes {result.item.min()} to {result.item.max()}", f"codes 1 to {largest}", hint)
    row = offsets_to_rows(result.offsets)
    pairs, times = np.unique(np.stack([row, result.item]), axis=1, return_counts=True)
    if n and times.max() > 1:
        item = pairs[1, times.argmax()]
        subject.fail(f"item {item} {times.max()} times in one row", "distinct items within a row")


def _hydrator(subject: Subject, result: Any, batch: Candidates) -> None:
    n_rows = len(batch.requests)
    if not isinstance(result, Hydrated):
        subject.fail(f"{type(result).__name__} from hydrate", "a Hydrated(columns, ragged)")
    for name, column in result.columns.items():
        if not isinstance(column, np.ndarray) or column.shape != (n_rows,):
            subject.fail(
                f"{_kind(column)} as column {name!r}", f"an array ({n_rows},), one entry for each request"
            )
    for name, lists in result.ragged.items():
        if not isinstance(lists, Ragged) or len(lists) != n_rows:
            subject.fail(
                f"{_kind(lists)} as list {name!r}", f"a Ragged of {n_rows} rows, one for each request"
            )
        _array(subject, lists.values, np.int64, (len(lists.values),), f"as values of list {name!r}")
        if lists.values.min(initial=0) < 0:
            subject.fail(f"code {lists.values.min()} in list {name!r}", "codes of at least 0")
        for part, column in lists.columns.items():
            if len(column) != len(lists.values):
                subject.fail(
                    f"{len(column)} entries in list {name!r}.{part}",
                    f"{len(lists.values)}, one for each value",
                )


def _constraint(subject: Subject, result: Any, batch: Candidates) -> None:
    if not isinstance(result, tuple) or not all(isinstance(limit, Cap | Pin) for limit in result):
        subject.fail(f"{_kind(result)} from limit", "a tuple of Cap and Pin", "return (Cap(...),)")
    names = [limit.name for limit in result]
    if len(set(names)) != len(names) or not all(isinstance(name, str) and name for name in names):
        subject.fail(f"limits named {names!r}", "a distinct name for each limit")
    for limit in result:
        if isinstance(limit, Cap):
            _cap(subject, limit, len(batch))
        else:
            _pin(subject, limit, len(batch))


def _cap(subject: Subject, cap: Cap, n: int) -> None:
    what = f"of Cap {cap.name!r}"
    if cap.offsets is None:
        _array(subject, cap.group, np.int64, (n,), f"as group {what}")
    else:
        _array(subject, cap.offsets, np.int64, (n + 1,), f"as offsets {what}")
        _array(subject, cap.group, np.int64, (int(cap.offsets[-1]),), f"as group {what}")
    if (cap.maximum is None) == (cap.share is None) and not (cap.maximum is None and cap.minimum):
        subject.fail(f"maximum={cap.maximum}, share={cap.share} {what}", "exactly one of them, or a minimum")
    if (cap.maximum or 0) < 0 or (cap.share is not None and not 0 < cap.share <= 1):
        found = f"maximum={cap.maximum}, share={cap.share} {what}"
        subject.fail(found, "a maximum of at least 0 or a share above 0, at most 1")
    if (cap.within is not None and cap.within < 1) or (cap.sliding and cap.within is None):
        found = f"within={cap.within}, sliding={cap.sliding} {what}"
        subject.fail(found, "at least 1 place, and a number of places where the cap slides")
    if cap.minimum < 0 or (cap.minimum and cap.sliding):
        found = f"minimum={cap.minimum}, sliding={cap.sliding} {what}"
        subject.fail(found, "a minimum of at least 0, in the first places or the whole list")


def _pin(subject: Subject, pin: Pin, n: int) -> None:
    what = f"of Pin {pin.name!r}"
    _array(subject, pin.position, np.int64, (n,), f"as position {what}")
    if pin.position.min(initial=0) < 0:
        subject.fail(f"position {pin.position.min()} {what}", "places from 1, or 0 for none")


def _objective(subject: Subject, batch: Candidates, stage: Any) -> None:
    """Gains are checked where they arise, in one step of selection."""
    window = frozen(window_of(batch))
    gain = subject.guard(stage.gain, subject.guard(stage.start, window))
    if not isinstance(gain, np.ndarray) or gain.dtype.kind != "f" or gain.shape != window.valid.shape:
        subject.fail(
            f"{_kind(gain)} from gain",
            f"float {_shape(window.valid.shape)}, one gain for each place of the window",
        )
    if np.isnan(gain[window.valid]).any():
        subject.fail(
            "NaN among the gains",
            "a number for each candidate of the window",
            "use window.relevance: never NaN",
        )


def _reranker(subject: Subject, result: Any, batch: Candidates) -> None:
    n = len(batch)
    if not isinstance(result, np.ndarray) or result.dtype != np.int64 or result.ndim != 1:
        subject.fail(f"{_kind(result)} from rerank", "int64 positions, one dimension")
    if len(result) and (result.min() < 0 or result.max() >= n):
        subject.fail(f"positions {result.min()} to {result.max()} from rerank", f"positions 0 to {n - 1}")
    if len(np.unique(result)) != len(result):
        values, times = np.unique(result, return_counts=True)
        subject.fail(
            f"position {values[times.argmax()]} {times.max()} times from rerank", "distinct positions"
        )
    if (np.diff(batch.row[result]) < 0).any():
        subject.fail(
            "positions of one row among another's from rerank", "rows together, in the batch's order of rows"
        )


def _annotator(subject: Subject, result: Any, batch: Candidates) -> None:
    if not isinstance(result, Mapping):
        subject.fail(f"{type(result).__name__} from annotate", "a mapping of column names to arrays")
    for name, column in result.items():
        if not isinstance(column, np.ndarray) or len(column) != len(batch):
            subject.fail(
                f"{_kind(column)} as column {name!r}",
                f"an array ({len(batch)},), one entry for each candidate",
            )


def _kind(value: Any) -> str:
    return f"{value.dtype} {_shape(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


_CHECKS = {
    Role.HYDRATOR: _hydrator,
    Role.SOURCE: _source,
    Role.FILTER: _filter,
    Role.SCORER: _scorer,
    Role.CONSTRAINT: _constraint,
    Role.RERANKER: _reranker,
    Role.ANNOTATOR: _annotator,
}
