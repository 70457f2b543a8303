"""PureSVD: the projection of a history on the leading item factors."""

from __future__ import annotations

import numpy as np

from recokit._configured import Configured
from recokit.candidates._dense import history_matrix, retrieve_nearest
from recokit.candidates._shared import Duration, check_duration, interaction_matrix, require_fitted
from recokit.candidates._svd import item_basis
from recokit.data import Dataset, Requests, Retrieved
from recokit.errors import ConfigurationError

__all__ = ["PureSVD"]


class PureSVD(Configured):
    """Source of the items nearest to the history in the space of the leading singular vectors.

    A history ``x`` has the scores ``x V V'``, with ``V`` the right singular vectors of the user-item matrix (P.
    Cremonesi, Y. Koren and R. Turrin, "Performance of recommender algorithms on top-N recommendation tasks",
    RecSys 2010), so new users are served from their first event on.

    Parameters
    ----------
    n_factors : int, default 64
        Singular vectors; fewer where there are fewer users or items.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the request.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
    seed : int, default 0
        Of the randomised decomposition.

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
    >>> svd = PureSVD(n_factors=2).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> sorted(svd.retrieve(requests, limit=2).item.tolist())
    [1, 2]
    """

    requires = ("history",)

    def __init__(
        self,
        n_factors: int = 64,
        *,
        half_life: Duration | None = None,
        max_history: int | None = None,
        seed: int = 0,
    ) -> None:
        if n_factors < 1:
            raise ConfigurationError(f"found n_factors={n_factors}; expected at least 1")
        if max_history is not None and max_history < 1:
            raise ConfigurationError(f"found max_history={max_history}; expected at least 1")
        check_duration("half_life", half_life)
        self.n_factors, self.half_life, self.max_history, self.seed = n_factors, half_life, max_history, seed

    def fit(self, dataset: Dataset) -> PureSVD:
        """Decompose the matrix of summed weights."""
        matrix = interaction_matrix(dataset, half_life=self.half_life, max_history=self.max_history)
        vectors, _ = item_basis(matrix, self.n_factors, self.seed)
        vectors[np.bincount(matrix.indices, minlength=matrix.shape[1]) == 0] = 0.0
        self.item_factors_, self.fitted_until_ = vectors, dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; a row without a known item in its history has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "item_factors_")
        vectors = self.item_factors_
        usable = np.asarray(vectors.any(axis=1))
        history = history_matrix(requests, len(vectors), half_life=self.half_life, most=self.max_history)
        return retrieve_nearest(requests, limit, history @ vectors, vectors, history @ usable > 0, usable)
