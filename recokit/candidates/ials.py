"""IALS: matrix factorisation for implicit feedback, by alternating least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recokit._configured import Configured
from recokit.candidates._dense import history_matrix, retrieve_nearest, similar_directions
from recokit.candidates._ials_solver import solve_rows
from recokit.candidates._shared import Duration, check_duration, interaction_matrix, require_fitted
from recokit.data import Dataset, Requests, Retrieved
from recokit.errors import ConfigurationError, VocabularyMismatch
from recokit.typing import BoolArray, Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["IALS"]


class IALS(Configured):
    """Source by factors of users and items that explain what was taken, with all the rest as weak evidence against.

    The loss is that of Y. Hu, Y. Koren and C. Volinsky ("Collaborative filtering for implicit feedback datasets", ICDM
    2008) with regularisation scaled by frequency, as S. Rendle et al. found to matter ("Revisiting the performance of
    iALS on item recommendation benchmarks", RecSys 2022). A user's factors are not stored: they are the exact optimum
    for the history of the request, so a user unknown at ``fit`` gets what one with that history gets.

    Parameters
    ----------
    n_factors : int, default 64
    unobserved_weight : float, default 0.1
        Weight of a pair that did not happen, beside the weight of the events of one that did.
    regularization : float, default 0.003
        Above 0.
    frequency_exponent : float, default 1.0
        A row's regularisation is multiplied by (its weights + unobserved_weight x columns) to this power.
    n_iterations : int, default 15
        Sweeps over users and items.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the request.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
    seed : int, default 0
        Of the first item factors.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    item_factors_ : ndarray of float32, shape (n_items + 1, n_factors)
        By item code; zeros for items without interactions, which are never returned.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> als = IALS(n_factors=2).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> sorted(als.retrieve(requests, limit=2).item.tolist())
    [1, 2]
    """

    requires = ("history",)

    def __init__(
        self,
        n_factors: int = 64,
        *,
        unobserved_weight: float = 0.1,
        regularization: float = 0.003,
        frequency_exponent: float = 1.0,
        n_iterations: int = 15,
        half_life: Duration | None = None,
        max_history: int | None = None,
        seed: int = 0,
    ) -> None:
        if n_factors < 1:
            raise ConfigurationError(f"found n_factors={n_factors}; expected at least 1")
        if n_iterations < 1:
            raise ConfigurationError(f"found n_iterations={n_iterations}; expected at least 1")
        for name, value in {"unobserved_weight": unobserved_weight, "regularization": regularization}.items():
            if not 0 < value < np.inf:
                raise ConfigurationError(f"found {name}={value}; expected a number above 0")
        if not np.isfinite(frequency_exponent):
            raise ConfigurationError(
                f"found frequency_exponent={frequency_exponent}; expected a finite number"
            )
        if max_history is not None and max_history < 1:
            raise ConfigurationError(f"found max_history={max_history}; expected at least 1")
        check_duration("half_life", half_life)
        self.n_factors, self.unobserved_weight = n_factors, unobserved_weight
        self.regularization, self.frequency_exponent = regularization, frequency_exponent
        self.n_iterations, self.seed = n_iterations, seed
        self.half_life, self.max_history = half_life, max_history

    def fit(self, dataset: Dataset) -> IALS:
        """Alternate from random item factors."""
        return self._fit(dataset, np.zeros((0, self.n_factors), np.float32), self.n_iterations)

    def partial_fit(self, dataset: Dataset, n_iterations: int = 3) -> IALS:
        """Alternate on from the factors there are: a refit for new data in a fraction of the time.

        Parameters
        ----------
        dataset : Dataset
            All data, the old and the new; items of the last one first, in their order. An unfitted model starts anew.
        n_iterations : int, default 3
            Sweeps.

        Raises
        ------
        VocabularyMismatch
            If there are fewer items than before.
        """
        known = self.__dict__.get("item_factors_", np.zeros((0, self.n_factors), np.float32))
        if dataset.n_items + 1 < len(known):
            raise VocabularyMismatch(
                f"found {dataset.n_items} items; expected at least the {len(known) - 1} of the last fit"
            )
        return self._fit(dataset, known, n_iterations if len(known) else self.n_iterations)

    def _fit(self, dataset: Dataset, known: Float32Array, n_iterations: int) -> IALS:
        by_user = interaction_matrix(dataset, half_life=self.half_life, max_history=self.max_history)
        by_item = by_user.T.tocsr()
        shape = (by_item.shape[0], self.n_factors)
        random = np.random.default_rng(self.seed)
        items = (random.standard_normal(shape, np.float32) * (0.1 / np.sqrt(self.n_factors))).astype(
            np.float32
        )
        old = np.flatnonzero(known.any(axis=1))
        items[old] = known[old]
        items[np.diff(by_item.indptr) == 0] = 0.0
        for _ in range(n_iterations):
            items = self._solve(by_item, self._solve(by_user, items))
        self.item_factors_, self.fitted_until_ = items, dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; a row without a known item in its history has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "item_factors_")
        items = self.item_factors_
        usable = np.asarray(items.any(axis=1))
        users, known = self._folded(requests)
        return retrieve_nearest(requests, limit, users, items, known, usable)

    def user_factors(self, requests: Requests) -> Float32Array:
        """Return the factors of each row's history, (B, n_factors) float32; zeros without a known item.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "item_factors_")
        return self._folded(requests)[0]

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items of the closest direction to each given item's, itself left out.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has none, nor has one without interactions.
        k : int

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "item_factors_")
        return similar_directions(self.item_factors_, np.asarray(items, np.int64), k)

    def _folded(self, requests: Requests) -> tuple[Float32Array, BoolArray]:
        history = history_matrix(
            requests, len(self.item_factors_), half_life=self.half_life, most=self.max_history
        )
        history.eliminate_zeros()
        usable = np.asarray(self.item_factors_.any(axis=1))
        return self._solve(history, self.item_factors_), np.asarray(history @ usable > 0)

    def _solve(self, weight: csr_matrix, columns: Float32Array) -> Float32Array:
        return solve_rows(
            weight,
            columns,
            unobserved=self.unobserved_weight,
            regularization=self.regularization,
            exponent=self.frequency_exponent,
        )
