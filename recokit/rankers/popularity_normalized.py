"""PopularityNormalized: scores divided by a power of the items' popularity."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._utils.options import above, check_options, finite
from recokit._utils.params import Configured
from recokit.data import Candidates, Dataset, Schema
from recokit.errors import ConfigurationError, ContractError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray


class PopularityNormalized(Configured):
    """Divide the score so far by a power of the item's popularity.

    The score becomes ``score / (1 + popularity / prior) ** strength``: a quotient and not a difference, because orders
    then do not depend on the scale of the scores. One strength means the same for probabilities, cosines and counts,
    for every request, and after a refit. With probabilities, 0 is the plain order and 1 that of lift, how much more
    likely this user takes the item than anybody. Scores below 0 are multiplied instead, so popularity never helps.

    Parameters
    ----------
    popularity : str or ndarray of float, shape (n_items + 1,)
        The name of a feature, such as a count of events as of the request; or events or users by item code as of the
        fit, row 0 for unknown items: :meth:`of` makes it. Missing and negative values count 0.
    strength : float, default 0.3
        0 to leave the order as it is; measure what it costs with :func:`recokit.tuning.popularity_front`.
    prior : float, default 10.0
        Below about so many events items count as equally rare: few events are mostly chance.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or nothing provides the feature.

    Notes
    -----
    It needs a ranker before it; for a single source ``Weighted({"item_knn_score": 1.0})`` will do. Rows that come
    without any score stay as they are and are marked DEGRADED.

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2]]).with_score(np.array([0.5, 0.4], np.float32))
    >>> PopularityNormalized(np.array([0.0, 90.0, 0.0]), strength=1.0).score(batch).round(2).tolist()
    [0.05..., 0.4...]
    """

    def __init__(self, popularity: str | AnyArray, *, strength: float = 0.3, prior: float = 10.0) -> None:
        if not isinstance(popularity, str) and (
            not isinstance(popularity, np.ndarray) or popularity.ndim != 1
        ):
            raise ConfigurationError(
                f"found popularity of type {type(popularity).__name__}; expected the name of a feature, or an array by "
                "item code; hint: PopularityNormalized.of(dataset)"
            )
        self.popularity, self.strength, self.prior = popularity, strength, prior
        check_options(self, {"strength": finite(0), "prior": above(0)})

    @classmethod
    def of(cls, dataset: Dataset, *, strength: float = 0.3, prior: float = 10.0) -> Self:
        """Return the stage with popularity as of a dataset: how many users have an event of weight above 0."""
        log = dataset.interactions
        counted = log.counted & (log.item > 0)
        pair = np.unique(log.item[counted] * (dataset.n_users + 1) + log.user[counted])
        users = np.bincount(pair // (dataset.n_users + 1), minlength=dataset.n_items + 1)
        return cls(users.astype(np.float64), strength=strength, prior=prior)

    @property
    def requires(self) -> tuple[str, ...]:
        """The feature, where popularity is one."""
        return (f"feature.{self.popularity}",) if isinstance(self.popularity, str) else ()

    def bind(self, schema: Schema) -> Self:
        """Check that the feature is provided, or that there is a value for every item."""
        if isinstance(self.popularity, str):
            if self.popularity not in schema.feature_names:
                hint = did_you_mean(self.popularity, schema.feature_names)
                raise ConfigurationError(
                    f"found no feature {self.popularity!r} for PopularityNormalized; {hint}"
                )
        elif len(self.popularity) <= len(schema.item_ids):
            raise ConfigurationError(
                f"found popularity of {len(self.popularity)} rows and {len(schema.item_ids)} items; expected "
                "one more row than items; hint: PopularityNormalized.of(dataset)"
            )
        return copy.copy(self)

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the normalised scores, (N,) float32; NaN where there is no score so far."""
        score = candidates.score.astype(np.float64)
        known = segment_sum(~np.isnan(score), candidates.row, candidates.n_rows)
        unscored = np.flatnonzero((candidates.counts > 0) & (known == 0))
        if len(unscored):
            candidates.requests.report_degraded(
                unscored, "PopularityNormalized: found no scores to normalise"
            )
        factor = (1.0 + self._popularity(candidates) / self.prior) ** self.strength
        return np.where(score < 0, score * factor, score / factor).astype(np.float32)

    def _popularity(self, candidates: Candidates) -> FloatArray:
        counts: AnyArray
        if isinstance(self.popularity, str):
            counts = candidates.feature(self.popularity)
        elif len(candidates) and int(candidates.item.max()) >= len(self.popularity):
            raise ContractError(
                f"found item code {candidates.item.max()} and popularity of {len(self.popularity)} rows; "
                "expected a value for each item code, row 0 for unknown items"
            )
        else:
            counts = self.popularity[candidates.item]
        values = np.nan_to_num(np.asarray(counts, np.float64), nan=0.0, posinf=0.0)
        return np.maximum(values, 0.0)
