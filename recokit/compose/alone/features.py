"""Features alone: a matrix of rows of users and items, as of any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._utils.params import Configured, clone
from recokit.compose.alone.events import as_dataset
from recokit.compose.alone.sources import Known, within_pipeline
from recokit.data.candidates import Candidates
from recokit.data.dataset import Dataset
from recokit.data.frames import Frame
from recokit.data.query import Query
from recokit.errors import DataError
from recokit.protocols import Trainable, bound
from recokit.typing import AnyArray


class FeatureMatrix(np.ndarray[Any, np.dtype[np.float32]]):
    """Features (N, F) float32, NaN where missing, with their ``names``; sliced rows keep them.

    Examples
    --------
    >>> matrix = FeatureMatrix.of(np.zeros((2, 1), np.float32), ("price",))
    >>> matrix[:1].names, matrix.to_dict()["price"].tolist()
    (('price',), [0.0, 0.0])
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, values: AnyArray, names: tuple[str, ...]) -> FeatureMatrix:
        """Return values with the names of their columns."""
        matrix = np.asarray(values, np.float32).view(cls)
        matrix.names = names
        return matrix

    def __array_finalize__(self, source: Any) -> None:
        names = getattr(source, "names", ())
        self.names = names if self.ndim == 2 and self.shape[1] == len(names) else ()

    def to_dict(self) -> dict[str, AnyArray]:
        """Return a mapping of name to column, of which any library makes a dataframe."""
        return {name: np.asarray(self[:, place]) for place, name in enumerate(self.names)}


class AloneFeatures(Configured):
    """Features that are also computed without a pipeline around them. Abstract."""

    _fitted_on: tuple[Dataset, Any] | None = None

    def transform(
        self, dataset: Any, rows: Any, *, at: Any = None, context: Mapping[str, Any] | None = None
    ) -> FeatureMatrix:
        """Return the features of pairs of users and items, as of a time.

        Parameters
        ----------
        dataset : Dataset or dataframe
            Events and tables; events from ``at`` on do not count.
        rows : dataframe, or sequence of pairs
            ``user_id`` and ``item_id`` of each row; users and items that the data lacks are unknown ones.
        at : time, or one for each row, optional
            Just after the last event by default.
        context : mapping, optional
            Columns of the requests that features read.

        Returns
        -------
        FeatureMatrix
            (N, F) float32 with ``names``.

        Raises
        ------
        DataError
            If the rows are no pairs of ids.
        """
        data = as_dataset(dataset, type(self).__name__)
        users, items = _pairs(rows)
        known = Known(data)
        query = Query(users, 1, context=context, now=at)
        requests = query.encode(data.schema, lambda: known.now)
        hydrated = known.history.hydrate(requests)
        n = len(requests)
        batch = Candidates(
            requests=requests.hydrated(hydrated.columns, hydrated.ragged),
            offsets=np.arange(n + 1),
            row=np.arange(n),
            item=data.item_ids.encode(items),
            score=np.full(n, np.nan, np.float32),
            sources=np.zeros(n, np.uint64),
        )
        stage = bound(self._fitted(data), data.schema)
        return FeatureMatrix.of(stage.featurize(batch), tuple(stage.names))

    def _fitted(self, data: Dataset) -> Any:
        """Return a clone fitted on the data, the last one where it is the same."""
        if not isinstance(self, Trainable):
            return self
        if self._fitted_on is None or self._fitted_on[0] is not data:
            with within_pipeline():
                self._fitted_on = data, clone(self).fit(data)
        return self._fitted_on[1]


def _pairs(rows: Any) -> tuple[list[Any], AnyArray]:
    """Return the user and item ids of rows."""
    if isinstance(rows, list | tuple | np.ndarray):
        pairs = [tuple(row) if isinstance(row, list | tuple | np.ndarray) else row for row in rows]
        if any(not isinstance(pair, tuple) or len(pair) != 2 for pair in pairs):
            raise DataError(
                "found rows that are no pairs; expected (user, item) for each, or a frame with user_id and item_id"
            )
        items = np.empty(len(pairs), object)
        items[:] = [item for _, item in pairs]
        return [user for user, _ in pairs], items
    frame = Frame(rows)
    return frame.ids("user_id").tolist(), frame.ids("item_id")
