"""RP3beta: random walks of three steps from the history, popular ends damped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.neighbors import Similarities
from recokit._utils.options import finite, rules
from recokit.candidates._neighbors import Neighbors
from recokit.candidates.pure_svd import degree_power, scaled
from recokit.data import Dataset

if TYPE_CHECKING:
    pass


@dataclass(eq=False, repr=False, kw_only=True)
class RP3beta(Neighbors):
    """Source of where random walks end that start at the history: item, user, item.

    Transition probabilities are raised to ``alpha``, and the result divided by the popularity of the end to the power
    ``beta`` (B. Paudel, F. Christoffel, C. Newell and A. Bernstein, "Updatable, accurate, diverse, and scalable
    recommendations for interactive applications", ACM TiiS 2017).

    Parameters
    ----------
    n_neighbors : int, default 100
        Neighbours kept of each item.
    alpha : float, default 1.0
        At least 0.
    beta : float, default 0.6
        At least 0; 0 is P3alpha.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    offsets_ : ndarray of int64, shape (n_items + 2,)
    neighbor_ : ndarray of int32
    similarity_ : ndarray of float32
        As those of :class:`ItemKNN`.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged, Requests
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> walks = RP3beta().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> walks.retrieve(requests, limit=10).item.tolist()
    [1]
    """

    _OPTIONS = rules(alpha=finite(0), beta=finite(0))

    alpha: float = 1.0
    beta: float = 0.6

    def fit(self, dataset: Dataset) -> RP3beta:
        """Multiply the two steps that follow the first, and keep the likeliest ends."""
        matrix = self._interaction_matrix(dataset)
        of_user = np.asarray(matrix.sum(axis=1), np.float64).ravel()
        of_item = np.asarray(matrix.sum(axis=0), np.float64).ravel()
        powered = matrix.copy()
        powered.data **= np.float32(self.alpha)
        to_item = scaled(powered, degree_power(of_user, -self.alpha), degree_power(of_item, -self.beta))
        to_user = scaled(
            powered.T.tocsr(), degree_power(of_item, -self.alpha), np.ones(len(of_user), np.float32)
        )

        self._learn(dataset.until, Similarities(to_user, to_item))
        return self
