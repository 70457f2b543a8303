"""Attempt: run a stage on a batch; if it fails, row by row, so that one bad row cannot fail the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from recokit.data import Requests
from recokit.errors import ConfigurationError, ContractError, NotFittedError, StageError
from recokit.pipeline.plan import Node
from recokit.pipeline.step import Condition
from recokit.typing import BoolArray, IntArray

__all__ = ["NO_ROWS", "PROGRAMMERS_ERRORS", "Outcome", "applies_to", "attempt"]

T = TypeVar("T")
#: Errors of the code, not of the data: they always raise.
PROGRAMMERS_ERRORS = (ContractError, ConfigurationError, NotFittedError)
NO_ROWS = np.zeros(0, np.int64)
NO_ROWS.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Outcome(Generic[T]):
    """Results of a stage.

    Parameters
    ----------
    pieces : list of (rows, result)
        Together they cover every row that the stage applies to; one piece if nothing failed.
    failed : ndarray of int64
        Rows whose result is a stand-in.
    error : str
        The last error, empty if there was none.
    """

    pieces: list[tuple[IntArray, T]]
    failed: IntArray = field(default_factory=lambda: NO_ROWS)
    error: str = ""


def attempt(
    node: Node,
    rows: IntArray,
    compute: Callable[[IntArray], T],
    stand_in: Callable[[IntArray, Exception], T],
) -> Outcome[T]:
    """Compute a stage's result for some rows; none at all for no rows.

    Parameters
    ----------
    node : Node
        The stage.
    rows : ndarray of int64
        Rows to run on.
    compute : callable
        Gives the result for the rows asked, checked against the stage's contract.
    stand_in : callable
        Gives the result to go on with for rows that failed, and the error.

    Raises
    ------
    ContractError, ConfigurationError, NotFittedError
        Always: these are programmers' errors, not the data's.
    StageError
        If the stage failed and is configured to raise.
    """
    if not len(rows):
        return Outcome([])
    try:
        return Outcome([(rows, compute(rows))])
    except PROGRAMMERS_ERRORS:
        raise
    except Exception as error:  # any failure of a stage degrades its rows, as the stage's role says
        if node.on_error == "raise":
            message = f"{node.name} failed: {_describe(error)}"
            raise StageError(message, name=node.name, role=str(node.role), cause=error) from error
        if len(rows) == 1:
            return Outcome([(rows, stand_in(rows, error))], rows, _describe(error))
    return _row_by_row(rows, compute, stand_in)


def _row_by_row(
    rows: IntArray, compute: Callable[[IntArray], T], stand_in: Callable[[IntArray, Exception], T]
) -> Outcome[T]:
    pieces: list[tuple[IntArray, T]] = []
    failed: list[int] = []
    description = ""
    for row in rows.tolist():
        single = np.array([row], np.int64)
        try:
            pieces.append((single, compute(single)))
        except PROGRAMMERS_ERRORS:
            raise
        except Exception as error:
            pieces.append((single, stand_in(single, error)))
            failed.append(row)
            description = _describe(error)
    return Outcome(pieces, np.array(failed, np.int64), description)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def applies_to(name: str, condition: Condition, requests: Requests) -> BoolArray:
    """Return which rows a stage with a condition applies to, (B,) bool.

    Raises
    ------
    ContractError
        If the condition fails, or gives anything but (B,) bool.
    ConfigurationError
        If it names a context column that the requests do not have.
    """
    if isinstance(condition, str):
        mask = requests.column(condition)
    else:
        try:
            mask = np.asarray(condition(requests))
        except Exception as error:
            raise ContractError(
                f"found {_describe(error)} from when of {name}; expected bool ({len(requests)},)"
            ) from error
    if mask.shape != (len(requests),) or mask.dtype != np.bool_:
        raise ContractError(
            f"found {mask.dtype} {mask.shape} from when of {name}; expected bool ({len(requests)},)"
        )
    return mask
