"""GraphFilter: a history spread over the item graph, with the damping of popular users and items set apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._utils.options import Rule, above, finite, rules, whole
from recokit.candidates._collapse import warn_if_alike, warn_if_rough
from recokit.candidates._retrieve import retrieve_scored
from recokit.candidates._weights import FromHistory
from recokit.candidates.pure_svd import degree_power, item_basis, scaled
from recokit.data import Dataset, Requests, Retrieved
from recokit.typing import Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Bytes of a cell of the product while it is made: the product, its scaled copy, and the order of its columns.
_CELL = 24


@dataclass(eq=False, repr=False, kw_only=True)
class GraphFilter(FromHistory):
    """Source by a filter on the graph of items: one hop exactly, the smooth rest through its leading factors.

    With ``R`` the user-item matrix whose cells are divided by powers of the degrees, a history ``x`` has the scores
    ``x (A + V f(L) V')``: ``A = R' R`` is one hop over the users that items share, and ``V``, ``L`` its leading
    eigenvectors and eigenvalues, relative to the largest. With exponents of 1/2, 1/2 and a constant ``f`` this is
    GF-CF (Y. Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021); ``f`` may be any
    polynomial, as in ChebyCF (C. Kim et al., SIGIR 2025). Powers of small eigenvalues vanish, so further hops lose
    little by the restriction to the leading ones.

    A new user is served from the first event on. Items of the history are not excluded: see :class:`Unseen`.

    Parameters
    ----------
    user_exponent : float, default 0.7
        What a shared user counts: degree to the power of minus this.
    item_exponent : float, default 0.6
        What an item of the history counts: degree to the power of minus this.
    target_exponent : float, default 0.2
        How far the popularity of the recommended item is divided out: degree to the power of minus this.
    response : sequence of float, default ()
        Coefficients of the polynomial ``f`` in the relative eigenvalue, the constant first; none: one hop only.
    n_factors : int, default 256
        Eigenvectors, where there is a response.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
        Bounds the cost of very active users, which grows with the square of their events.
    max_memory : float, default 4e9
        Bytes that multiplying out the graph may take in ``fit``. Beyond it, as with one user of the whole catalogue,
        the graph is kept as it is, and each request takes the two steps of the hop instead: the same scores, slower.
    seed : int, default 0
        Of the randomised decomposition.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    weight_ : scipy.sparse.csr_matrix of float32, shape (n_items + 1, n_items + 1), or None
        Row ``i``: what item ``i`` in the history adds to the score of each item, in one hop.
    graph_ : scipy.sparse.csr_matrix of float32, shape (n_users + 1, n_items + 1), or None
        The normalised interactions, where ``weight_`` would take more than ``max_memory``; with ``source_scale_`` and
        ``target_scale_``, (n_items + 1,), it has the same in two steps.
    source_factors_, target_factors_ : ndarray of float32, shape (n_items + 1, D)
        Their product adds the response; D is 0 without one.
    fitted_until_ : float

    Notes
    -----
    The exponents were chosen on a validation part of Gowalla's training data.

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> graph = GraphFilter().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> sorted(graph.retrieve(requests, limit=2).item.tolist())
    [1, 2]
    """

    _OPTIONS = rules(
        **dict.fromkeys(("user_exponent", "item_exponent", "target_exponent"), finite()),
        response=Rule(
            "finite coefficients", lambda value: bool(np.isfinite(np.asarray(value, np.float64)).all())
        ),
        n_factors=whole(1),
        max_memory=above(0),
    )

    user_exponent: float = 0.7
    item_exponent: float = 0.6
    target_exponent: float = 0.2
    response: Sequence[float] = ()
    n_factors: int = 256
    max_memory: float = 4e9
    seed: int = 0

    def fit(self, dataset: Dataset) -> GraphFilter:
        """Normalise the interactions, multiply them out, and find the leading factors if there is a response."""
        matrix = self._interaction_matrix(dataset)
        of_user = np.asarray(matrix.sum(axis=1), np.float64).ravel()
        of_item = np.asarray(matrix.sum(axis=0), np.float64).ravel()
        # Symmetric, so that the graph has an eigenbasis; what is left of the two exponents goes on either side.
        middle = (self.item_exponent + self.target_exponent) / 2
        graph = scaled(matrix, degree_power(of_user, -self.user_exponent / 2), degree_power(of_item, -middle))
        source = degree_power(of_item, middle - self.item_exponent)
        target = degree_power(of_item, middle - self.target_exponent)
        self._fit_response(graph, source, target)
        self.weight_ = self.graph_ = None
        self.source_scale_, self.target_scale_ = source, target
        by_item = graph.T.tocsr()
        products = by_item.astype(np.bool_) @ np.diff(graph.indptr).astype(np.float64)
        cells = np.minimum(products, graph.shape[1]).sum()
        if _CELL * cells <= self.max_memory:
            self.weight_ = scaled((by_item @ graph).tocsr(), source, target)
            self.weight_.sort_indices()
        else:
            self.graph_ = graph
        self.fitted_until_ = dataset.until
        warn_if_alike(self, matrix, "smaller coefficients in response, or a larger target_exponent")
        return self

    def _hop(self, history: csr_matrix) -> Float32Array:
        """Return the scores of one hop from some histories, (b, n_items + 1)."""
        if self.weight_ is not None:
            return np.asarray((history @ self.weight_).toarray())
        assert self.graph_ is not None
        reached = (history.multiply(self.source_scale_).tocsr() @ self.graph_.T) @ self.graph_
        return np.asarray(reached.toarray() * self.target_scale_)

    def _fit_response(self, graph: csr_matrix, source: Float32Array, target: Float32Array) -> None:
        n_factors = self.n_factors if len(self.response) else 0
        if not n_factors:
            self.source_factors_ = self.target_factors_ = np.zeros((graph.shape[1], 0), np.float32)
            return
        vectors, values = item_basis(graph, n_factors, self.seed)
        warn_if_rough(type(self).__name__, graph, vectors, values)
        strength = np.polynomial.polynomial.polyval((values / max(values[0], 1e-30)) ** 2, self.response)
        self.source_factors_ = vectors * source[:, None]
        # Relative to the largest eigenvalue, so that a coefficient means the same on any data.
        self.target_factors_ = (vectors * target[:, None] * (strength * values[0] ** 2)).astype(np.float32)

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; items that nothing links to the history are none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        n_codes = len(self.source_factors_)
        history = self._history_matrix(requests, n_codes)

        def score(rows: IntArray) -> Float32Array:
            mine = history[rows]
            scores = self._hop(mine)
            if self.target_factors_.shape[1]:
                scores += (mine @ self.source_factors_) @ self.target_factors_.T
            scores[scores == 0] = -np.inf
            return scores

        return retrieve_scored(requests, limit, n_codes, score, known=np.diff(history.indptr) > 0)
