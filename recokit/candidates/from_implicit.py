"""FromImplicit: a fitted model of the implicit library as a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._utils.threads import map_parts
from recokit.candidates._retrieve import (
    retrieve_nearest,
    retrieve_scored,
    similar_by_history,
    similar_directions,
)
from recokit.candidates._weights import FromHistory
from recokit.candidates.ials import padded_cells, row_blocks
from recokit.data import Dataset, Requests, Retrieved, timestamp
from recokit.data.times import Duration
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.typing import Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class ItemSide:
    """The item side of a model of implicit: all that it takes to answer a history, and to be saved.

    Parameters
    ----------
    factors : ndarray of float32, shape (n, D), optional
        Of a factorisation, by the model's column.
    similarity : scipy.sparse.csr_matrix, shape (n, n), optional
        Of a model of neighbours.
    regularization, alpha : float
        Those that the factorisation was fitted with.
    """

    factors: Float32Array | None
    similarity: csr_matrix | None
    regularization: float = 0.0
    alpha: float = 1.0

    @property
    def n_columns(self) -> int:
        """How many items the model knows."""
        known = self.similarity if self.factors is None else self.factors
        assert known is not None
        return int(known.shape[0])


class FromImplicit(FromHistory):
    """Source from a fitted model of the library implicit, which answers from a history like all sources of recokit.

    Only the model's item side is used. A factorisation (``AlternatingLeastSquares``) gives each history the factors
    that ``model.recalculate_user`` would, with its own ``regularization`` and ``alpha``; a model of neighbours
    (``CosineRecommender``, ``TFIDFRecommender``, ``BM25Recommender``) adds up the similarities of the history's items.
    So nobody is bound to a row of the matrix that was fitted, and a new user is served from the first event on.

    Parameters
    ----------
    model : object
        With ``item_factors``, ``regularization`` and ``alpha``, or with ``similarity``. Its arrays are taken over, the
        model itself is not kept. implicit itself need not be installed.
    items : sequence, optional
        Item ids in the order of the model's columns. By default the columns are item codes, as in
        ``dataset.interactions.matrix(dataset.n_users, dataset.n_items)``.
    until : str, float or datetime, optional
        Time of the last event that the model has seen; by default the end of the data given to ``fit``. A pipeline
        that trains a ranker on earlier requests refuses the model then, which has seen their labels.
    half_life : duration, optional
        Half-life of an event's weight, as of the user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count; all by default.

    Raises
    ------
    ConfigurationError
        If the object is neither kind of model, or an option is out of range.
    NotFittedError
        If the model was not fitted.

    Attributes
    ----------
    factors_ : ndarray of float32, shape (n_items + 1, D)
        By item code; zeros for items that the model does not know. Empty for a model of neighbours.
    gram_ : ndarray of float64, shape (D, D)
        Of all factors of the model, those of items outside the catalogue too.
    similarity_ : scipy.sparse.csr_matrix of float32, shape (n_items + 1, n_items + 1)
        By item codes; empty for a factorisation.
    n_unmatched_ : int
        Items of the model that the catalogue lacks. They are never returned.
    fitted_until_ : float

    Notes
    -----
    ``BayesianPersonalizedRanking`` and ``LogisticMatrixFactorization`` have no closed answer to a new history. Serve
    their vectors with ``AnnIndex(item_factors, query=user_factors)``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from scipy.sparse import csr_matrix
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2], "item": [7, 8, 9], "timestamp": [1, 2, 3]})
    >>> model = SimpleNamespace(similarity=csr_matrix([[0, 0.5, 0.1], [0.5, 0, 0], [0.1, 0, 0]]))
    >>> source = FromImplicit(model, items=[7, 8, 9]).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    >>> data.item_ids.decode(source.retrieve(requests, limit=2).item).tolist()
    [8, 9]
    """

    def __init__(
        self,
        model: Any,
        *,
        items: Sequence[Any] | None = None,
        until: str | float | None = None,
        half_life: Duration | None = None,
        max_history: int | None = None,
    ) -> None:
        side = model if isinstance(model, ItemSide) else _item_side(model)
        if items is not None and len(items) != side.n_columns:
            raise ConfigurationError(
                f"found {len(items)} item ids and a model of {side.n_columns}; expected one for each column"
            )
        if until is not None:
            timestamp(until)
        self.model, self.items, self.until = side, items, until
        self.half_life, self.max_history = half_life, max_history
        self.__post_init__()

    def fit(self, dataset: Dataset) -> FromImplicit:
        """Look the model's items up in the catalogue; the model itself learns nothing.

        Raises
        ------
        DataError
            If the catalogue has none of the items, an id comes twice, or there are no ids and the columns are not
            the catalogue's item codes.
        """
        code = self._codes(dataset)
        there = np.flatnonzero(code)
        side, n_codes = self.model, dataset.n_items + 1
        self.n_unmatched_ = int(np.count_nonzero(code == 0)) - (self.items is None)
        factors = np.zeros((0, 0), np.float32) if side.factors is None else side.factors
        self.factors_ = np.zeros((n_codes, factors.shape[1]), np.float32)
        if side.factors is not None:
            self.factors_[code[there]] = factors[there]
        self.gram_ = factors.T.astype(np.float64) @ factors
        self.similarity_ = _by_code(side.similarity, code, n_codes)
        self.fitted_until_ = dataset.until if self.until is None else timestamp(self.until)
        return self

    def _codes(self, dataset: Dataset) -> IntArray:
        """Return the item code of each column of the model, 0 where the catalogue lacks it."""
        n = self.model.n_columns
        if self.items is None:
            if n != dataset.n_items + 1:
                raise DataError(
                    f"found a model of {n} columns and a catalogue of {dataset.n_items} items; expected "
                    f"{dataset.n_items + 1} columns, the first for unknown items; hint: items=[ids of the columns]"
                )
            return np.arange(n)
        code = dataset.item_ids.encode(self.items)
        known = code[code > 0]
        if not len(known):
            raise DataError(f"found none of the model's {n} items in the catalogue; expected the same ids")
        if len(np.unique(known)) < len(known):
            raise DataError("found an item id twice among the columns of the model; expected distinct ones")
        return code

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; a row without a known item in its history has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        history, n_codes = self._history(requests), len(self.factors_)
        if self.model.factors is None:

            def score(rows: IntArray) -> Float32Array:
                scores: Float32Array = (history[rows] @ self.similarity_).toarray()
                scores[scores <= 0] = -np.inf
                return scores

            return retrieve_scored(requests, limit, n_codes, score, known=np.diff(history.indptr) > 0)
        usable = np.asarray(self.factors_.any(axis=1))
        users, known = self._folded(history), np.asarray(history @ usable > 0)
        return retrieve_nearest(requests, limit, users, self.factors_, known=known, usable=usable)

    def user_factors(self, requests: Requests) -> Float32Array:
        """Return the factors of each row's history, (B, D) float32; D is 0 for a model of neighbours.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        return self._folded(self._history(requests))

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items most like each item, itself left out.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has none, nor has one that the model does not know.
        k : int

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        items = np.asarray(items, np.int64)
        if self.model.factors is not None:
            return similar_directions(self.factors_, items, k)
        return similar_by_history(self, items, k)

    def _history(self, requests: Requests) -> csr_matrix:
        history = self._history_matrix(requests, len(self.factors_))
        history.eliminate_zeros()
        return history

    def _folded(self, history: csr_matrix) -> Float32Array:
        """Solve ``(G + sum (c - 1) v v' + reg) x = sum c v`` for each history, c = alpha x weight."""
        width = self.factors_.shape[1]
        out = np.zeros((history.shape[0], width), np.float32)
        ridge = (self.gram_ + self.model.regularization * np.eye(width)).astype(np.float32)

        def step(rows: IntArray) -> None:
            place, column, weight = padded_cells(history, rows)
            vectors, confidence = self.factors_[column], np.float32(self.model.alpha) * weight
            more = np.where(place, confidence - 1, 0)[:, :, None] * vectors
            target = (confidence[:, None, :] @ vectors)[:, 0, :, None]
            out[rows] = np.linalg.solve(ridge + more.transpose(0, 2, 1) @ vectors, target)[:, :, 0]

        if width:
            map_parts(step, list(row_blocks(np.diff(history.indptr), width)))
        return out


def _item_side(model: Any) -> ItemSide:
    """Return the item side of a model."""
    kind = type(model).__name__
    if all(hasattr(model, name) for name in ("item_factors", "regularization", "alpha")):
        if model.item_factors is None:
            raise NotFittedError(f"found {kind} unfitted; expected a fitted model")
        factors = model.item_factors
        on_host = factors.to_numpy() if hasattr(factors, "to_numpy") else factors  # implicit.gpu has its own
        vectors = np.ascontiguousarray(on_host, np.float32)
        return ItemSide(vectors, None, float(model.regularization), float(model.alpha))
    if getattr(model, "similarity", None) is not None:
        return ItemSide(None, model.similarity.tocsr().astype(np.float32))
    if hasattr(model, "K"):
        raise NotFittedError(f"found {kind} unfitted; expected a fitted model")
    raise ConfigurationError(
        f"found {kind}, without item_factors, regularization and alpha, and without similarity; expected a fitted "
        "AlternatingLeastSquares or a model of neighbours; hint: AnnIndex(item_factors, query=user_factors) serves "
        "any other factorisation"
    )


def _by_code(similarity: csr_matrix | None, code: IntArray, n_codes: int) -> csr_matrix:
    """Return a model's similarities by item codes, without items that the catalogue lacks."""
    from scipy.sparse import csr_matrix

    if similarity is None:
        return csr_matrix((n_codes, n_codes), dtype=np.float32)
    cells = similarity.tocoo()
    one, other = code[cells.row], code[cells.col]
    there = (one > 0) & (other > 0)
    return csr_matrix((cells.data[there], (one[there], other[there])), shape=(n_codes, n_codes))
