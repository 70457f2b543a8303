"""Explore: items at random, with the probability that they were drawn."""

from __future__ import annotations

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._kernels.segments import offsets_to_rows
from recokit._utils.options import check_options, optional, whole
from recokit.candidates._retrieve import retrieve_scored
from recokit.compose.alone.sources import AloneSource
from recokit.data import Dataset, Requests, Retrieved
from recokit.typing import BoolArray, Float32Array, IntArray

#: One of the streams of random numbers that a request's seed has.
_STREAM = 11


class Explore(AloneSource):
    """Source of items drawn at random without replacement, all with the same probability.

    The score is the propensity: the exact probability that the item is among those drawn for the request, which
    estimators of what another policy would have earned divide by. Draws depend on the request's seed alone.

    Parameters
    ----------
    max_events : int, optional
        Draw among items with at most so many events, of which little is known; among all by default.

    Raises
    ------
    ConfigurationError
        If it is below 0.

    Attributes
    ----------
    eligible_ : ndarray of bool, shape (n_items + 1,)
    fitted_until_ : float

    Examples
    --------
    >>> data = Dataset.from_frame(None, items={"item_id": [1, 2, 3, 4]})
    >>> found = Explore().fit(data).retrieve(Requests.build(np.array([0]), seed=1), limit=2)
    >>> len(set(found.item.tolist())), found.score.tolist()
    (2, [0.5, 0.5])
    """

    def __init__(self, *, max_events: int | None = None) -> None:
        self.max_events = max_events
        check_options(self, {"max_events": optional(whole(0))})

    def fit(self, dataset: Dataset) -> Explore:
        """Look up which items may be drawn."""
        count = np.bincount(dataset.interactions.signals.item, minlength=dataset.n_items + 1)
        eligible: BoolArray = np.ones(dataset.n_items + 1, np.bool_)
        if self.max_events is not None:
            eligible &= count <= self.max_events
        eligible[0] = False
        self.eligible_, self.fitted_until_ = eligible, dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return ``limit`` items of each row at random, none that is excluded.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        n_codes = len(self.eligible_)
        codes = np.arange(n_codes)

        def draw(rows: IntArray) -> Float32Array:
            seeds = np.repeat(requests.seed[rows], n_codes)
            drawn = uniform(seeds, np.tile(codes, len(rows)), _STREAM)
            return drawn.reshape(len(rows), n_codes).astype(np.float32)

        everyone = np.ones(len(requests), np.bool_)
        lists = retrieve_scored(requests, limit, n_codes, draw, known=everyone, usable=self.eligible_)
        pool = np.full(len(requests), np.count_nonzero(self.eligible_))
        exclude = requests.ragged.get("exclude")
        if exclude is not None:
            pair = np.unique(exclude.rows * n_codes + np.minimum(exclude.values, n_codes - 1))
            inside = self.eligible_[pair % n_codes] & np.isin(pair, exclude.rows * n_codes + exclude.values)
            pool -= np.bincount(pair[inside] // n_codes, minlength=len(requests))
        share = np.minimum(limit / np.maximum(pool, 1), 1.0)[offsets_to_rows(lists.offsets)]
        return Retrieved(lists.offsets, lists.item, share.astype(np.float32))
