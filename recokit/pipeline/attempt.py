"""Attempt: run a stage on a batch; if it fails, row by row, so that one bad row cannot fail the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from recokit.data import Requests
from recokit.errors import ConfigurationError, ContractError, StageError
from recokit.pipeline.plan import Node
from recokit.typing import IntArray

__all__ = ["Outcome", "applies_to", "attempt"]

T = TypeVar("T")
_NO_ROWS = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Outcome(Generic[T]):
    """Results of a stage.

    Parameters
    ----------
    pieces : list of (rows, result)
        Together they cover every row that the stage was run on; one piece if nothing failed.
    failed : ndarray of int64
        Rows whose result is a stand-in.
    error : str
        The last error, empty if there was none.
    """

    pieces: list[tuple[IntArray, T]]
    failed: IntArray
    error: str


def attempt(
    node: Node,
    rows: IntArray,
    compute: Callable[[IntArray], T],
    stand_in: Callable[[IntArray, Exception], T],
) -> Outcome[T]:
    """Compute a stage's result for some rows.

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
    ContractError, ConfigurationError
        Always: these are programmers' errors, not the data's.
    StageError
        If the stage failed and is configured to raise.
    """
    try:
        return Outcome([(rows, compute(rows))], _NO_ROWS, "")
    except (ContractError, ConfigurationError):
        raise
    except Exception as error:
        if node.on_error == "raise":
            raise StageError(
                f"{node.name} failed: {error!r}", name=node.name, role=node.role, cause=error
            ) from error
        if len(rows) == 1:
            return Outcome([(rows, stand_in(rows, error))], rows, _describe(error))
    return _row_by_row(rows, compute, stand_in)


def _row_by_row(
    rows: IntArray, compute: Callable[[IntArray], T], stand_in: Callable[[IntArray, Exception], T]
) -> Outcome[T]:
    pieces: list[tuple[IntArray, T]] = []
    failed: list[int] = []
    description = ""
    for row in rows:
        single = np.array([row], np.int64)
        try:
            pieces.append((single, compute(single)))
        except (ContractError, ConfigurationError):
            raise
        except Exception as error:  # any failure of a stage degrades its row, as the stage's role says
            pieces.append((single, stand_in(single, error)))
            failed.append(int(row))
            description = _describe(error)
    return Outcome(pieces, np.array(failed, np.int64), description)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def applies_to(node: Node, requests: Requests) -> IntArray:
    """Return the rows that a stage applies to, by its ``when``."""
    everything = np.arange(len(requests))
    if node.when is None:
        return everything
    mask = np.asarray(requests.column(node.when) if isinstance(node.when, str) else node.when(requests))
    if mask.shape != (len(requests),) or mask.dtype != np.bool_:
        raise ContractError(
            f"found {mask.dtype} of shape {mask.shape} from when of {node.name}; expected bool ({len(requests)},)"
        )
    return everything[mask]
