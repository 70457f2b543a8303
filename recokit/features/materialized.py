"""Materialized: item features kept ready for a stretch of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.params import clone
from recokit.compose.alone.features import AloneFeatures
from recokit.data import Candidates, Dataset, Live, Requests, Schema
from recokit.data.times import Duration
from recokit.errors import ConfigurationError
from recokit.features._block import bound_copy, durations
from recokit.features.table import FeatureTable, table_of
from recokit.protocols import FeatureFreshness, Role, Trainable, bound, role_of, traits_of
from recokit.typing import Float32Array, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class _Ready:
    """All items' features as of one moment; NaN for the moment before there are any."""

    moment: float
    values: Float32Array


class Materialized(AloneFeatures):
    """Features of items as of the start of the hour, or another bucket of time, kept ready for all of them.

    In training as while serving, a request sees the features as of the start of its bucket: one definition.
    :meth:`refresh` computes all items' features for a bucket, in a thread of yours; requests in it then cost one
    look-up. Requests in other buckets, and training, compute theirs directly, with the same values.

    Parameters
    ----------
    block : featurizer
        Features that depend on the item and the time only, such as :class:`ItemActivity`.
    bucket : duration, default "1h"
        Length of a bucket; buckets start at its multiples since 1970.
    name : str, default "materialized"
        How traces name the version in use.

    Raises
    ------
    ConfigurationError
        If the block is no featurizer, or the bucket no duration.

    Examples
    --------
    >>> from recokit.features import ItemActivity
    >>> data = Dataset.from_frame({"user_id": [1, 2], "item_id": [5, 5], "timestamp": [10.0, 3700.0]})
    >>> block = Materialized(ItemActivity(windows=("1D",))).fit(data)
    >>> block.refresh(now=7300.0)
    >>> candidates = Candidates.from_lists([[1]], requests=Requests.build([1], now=7300.0))
    >>> dict(zip(block.names, block.featurize(candidates)[0].tolist()))["item_count_1d"]
    2.0
    """

    as_of = True

    #: After ``fit`` the fitted clone of the block.
    block_: Any = None
    updated_at_: float = np.inf

    def __init__(self, block: Any, *, bucket: Duration = "1h", name: str = "materialized") -> None:
        if role_of(block) is not Role.FEATURIZER:
            raise ConfigurationError(f"found {block!r} to materialise; expected a featurizer")
        self.block, self.bucket, self.name = block, bucket, name
        (self._width,) = durations(bucket)
        self.ready_: Live[_Ready] = Live(_NOTHING, name=name)

    @property
    def _part(self) -> Any:
        return self.block if self.block_ is None else self.block_

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features: the block's."""
        return tuple(self._part.names)

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the block requires."""
        return traits_of(self._part).requires

    def fit(self, dataset: Dataset) -> Materialized:
        """Fit a clone of the block; nothing is ready yet."""
        self.block_ = clone(self.block)
        if isinstance(self.block_, Trainable):
            self.block_.fit(dataset)
        self.n_items_ = dataset.n_items
        self.updated_at_ = dataset.until
        self.ready_ = Live(_NOTHING, name=self.name)
        return self

    def bind(self, schema: Schema) -> Materialized:
        """Return a copy with the block bound; what is made ready for one is ready for the other."""
        return bound_copy(self, block_=bound(self._part, schema), n_items_=len(schema.item_ids))

    def table(self) -> FeatureTable:
        """Return the meaning of each feature."""
        return table_of(self._part)

    def freshness(self) -> dict[str, float]:
        """Return until when the data of each feature is known, in seconds since 1970."""
        known = self._part.freshness() if isinstance(self._part, FeatureFreshness) else {}
        return dict.fromkeys(self.names, self.updated_at_) | dict(known)

    def refresh(self, now: float) -> None:
        """Make the features of all items ready for the bucket of a time; runs under way keep what they have."""
        moment = math.floor(now / self._width) * self._width
        items = np.arange(self.n_items_ + 1)
        values = self._computed(items, np.full(len(items), moment))
        self.ready_.set(_Ready(moment, values))

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the features as of the start of each request's bucket, (N, F) float32."""
        ready = candidates.requests.read(self.ready_)
        moment = np.floor(candidates.requests.now / self._width) * self._width
        if len(ready.values) and (moment == ready.moment).all():
            return np.asarray(ready.values[candidates.item])
        when, place = np.unique(moment, return_inverse=True)
        width = int(candidates.item.max(initial=0)) + 1
        pairs, inverse = np.unique(place[candidates.row] * width + candidates.item, return_inverse=True)
        return np.asarray(self._computed(pairs % width, when[pairs // width])[inverse])

    def _computed(self, items: IntArray, moment: FloatArray) -> Float32Array:
        when, row = np.unique(moment, return_inverse=True)
        order = np.argsort(row, kind="stable")
        requests = Requests.build(np.zeros(len(when), np.int64), now=when)
        batch = Candidates(
            requests=requests,
            offsets=np.searchsorted(row[order], np.arange(len(when) + 1)),
            row=row[order],
            item=items[order],
            score=np.full(len(items), np.nan, np.float32),
            sources=np.zeros(len(items), np.uint64),
        )
        values = np.empty((len(items), len(self.names)), np.float32)
        values[order] = self._part.featurize(batch)
        return values


_NOTHING = _Ready(math.nan, np.zeros((0, 0), np.float32))
