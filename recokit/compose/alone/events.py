"""Events as users hold them: a dataset, a frame, or a matrix of users and items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.data.dataset import Dataset
from recokit.errors import DataError
from recokit.typing import FloatArray

_EXPECTED = (
    "expected a Dataset, a frame with user, item and timestamp, or a matrix (users, items); "
    "hint: Dataset.from_frame(...) says more of what a log means"
)


def as_dataset(events: Any, who: str, *, needs_times: bool = False) -> Dataset:
    """Return events as a dataset.

    A matrix, sparse or dense, has row numbers as user ids and column numbers as item ids, its values as weights, and
    no times.

    Parameters
    ----------
    events : Dataset, dataframe, mapping of arrays, sparse matrix or ndarray (U, I)
    who : str
        The part that asks, for messages.
    needs_times : bool, default False
        Whether it learns from the order of events.

    Raises
    ------
    DataError
        For anything else, and for a matrix where times are needed.

    Examples
    --------
    >>> as_dataset(np.array([[1, 0, 5], [0, 0, 2]]), "ItemKNN")
    Dataset(3 interactions, 2 users, 3 items; purchase 1 to 5 (signal))
    """
    if isinstance(events, Dataset):
        return events
    if is_matrix(events):
        if needs_times:
            raise DataError(
                f"found a matrix for {who}, which learns from the order of events; expected their times too; "
                "hint: a frame with user, item and timestamp"
            )
        return _from_matrix(events)
    if isinstance(events, np.ndarray | list | tuple | str | bytes) or np.isscalar(events) or events is None:
        shape = f" of shape {events.shape}" if isinstance(events, np.ndarray) else ""
        raise DataError(f"found {type(events).__name__}{shape} for {who}; {_EXPECTED}")
    if not isinstance(events, Mapping) and callable(getattr(events, "fit", None)):
        raise DataError(f"found {type(events).__name__} for {who}; {_EXPECTED}")
    return Dataset.from_frame(events)


def is_matrix(events: Any) -> bool:
    """Tell whether it is a matrix, dense or of scipy, without loading scipy."""
    sparse = type(events).__module__.startswith("scipy.sparse")
    return sparse or (isinstance(events, np.ndarray) and events.ndim == 2)


def rows_of(matrix: Any) -> tuple[list[list[int]], FloatArray]:
    """Return the columns of each row's cells, and the values of all, row by row."""
    from scipy.sparse import csr_matrix

    rows = csr_matrix(matrix)
    rows.eliminate_zeros()
    lists = [part.tolist() for part in np.split(rows.indices, rows.indptr[1:-1])]
    return lists, np.asarray(rows.data, np.float64)


def _from_matrix(matrix: Any) -> Dataset:
    from scipy.sparse import coo_matrix

    cells = coo_matrix(matrix)
    n_users, n_items = cells.shape
    log = {
        "user_id": cells.row.astype(np.int64),
        "item_id": cells.col.astype(np.int64),
        "weight": cells.data,
        "timestamp": np.zeros(len(cells.data)),
    }
    return Dataset.from_frame(
        log, users={"user_id": np.arange(n_users)}, items={"item_id": np.arange(n_items)}
    )
