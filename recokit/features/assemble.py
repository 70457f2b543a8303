"""Assemble: several blocks as one featurizer, with one matrix and one event index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._utils.moved import moved_attribute, renamed
from recokit._utils.params import clone
from recokit.compose.alone.features import AloneFeatures
from recokit.data import Candidates, Dataset, LiveEvents, Schema, seconds
from recokit.data.events.index import EventIndex
from recokit.data.events.layered import LayeredIndex
from recokit.data.events.recent import layered
from recokit.errors import ConfigurationError, ContractError
from recokit.features._block import Block, Context, IndexBlock, bound_copy
from recokit.features.table import FeatureTable, table_of
from recokit.protocols import FeatureFreshness, Role, Trainable, bound, role_of, traits_of
from recokit.typing import BoolArray, Float32Array

#: Rows that are turned at a time: with all their features they lie in a core's own cache.
_TILE = 2_048


class Assemble(AloneFeatures):
    """Several feature blocks as one.

    The blocks share one event index and write into one matrix; events that two of them read are looked up once.

    Parameters
    ----------
    blocks : sequence of featurizers
        recokit's blocks, or any featurizer of your own.
    live_events : LiveEvents, optional
        Events that come in while the model serves; the blocks see them at once.

    Raises
    ------
    ConfigurationError
        If there is no block, or something that is not a featurizer.

    Examples
    --------
    >>> from recokit.features import ItemActivity, UserItem
    >>> Assemble([ItemActivity(windows=("7D",)), UserItem(windows=())]).names[:2]
    ('item_count_7d', 'item_decayed_14d')
    """

    as_of = True

    #: After ``fit`` the fitted clones of the blocks, and the index that they share.
    blocks_: Sequence[Any] | None = None
    index_: EventIndex | None = None

    tail = moved_attribute("live_events")

    @renamed(tail="live_events")
    def __init__(self, blocks: Sequence[Any], *, live_events: LiveEvents | None = None) -> None:
        for block in blocks:
            role = role_of(block)
            if role is not Role.FEATURIZER:
                raise ConfigurationError(
                    f"found a {role.value}, {block!r}, among the blocks; expected featurizers"
                )
            if traits_of(block).live:
                raise ConfigurationError(
                    f"found {block!r} among the blocks, which training has to leave out; hint: put it beside Assemble"
                )
        if not len(blocks):
            raise ConfigurationError(
                "found no blocks; expected at least one, such as features.ItemActivity()"
            )
        self.blocks, self.live_events = blocks, live_events

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the blocks."""
        return _names(self._parts)

    @property
    def _parts(self) -> Sequence[Any]:
        return self.blocks if self.blocks_ is None else self.blocks_

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the blocks require."""
        return tuple(dict.fromkeys(name for block in self._parts for name in getattr(block, "requires", ())))

    def fit(self, dataset: Dataset) -> Assemble:
        """Fit clones of all blocks, on one event index.

        Raises
        ------
        ConfigurationError
            For an event type or column that the dataset lacks.
        """
        blocks = [clone(block) for block in self.blocks]
        indexed = [block for block in blocks if isinstance(block, IndexBlock)]
        spaces = [space for block in indexed for space in block.keyspaces]
        horizon = None if self.live_events is None else seconds(self.live_events.horizon)
        index = EventIndex.build(dataset, spaces, horizon=horizon)
        for block in blocks:
            if isinstance(block, IndexBlock):
                block._adopt(index)
            elif isinstance(block, Trainable):
                block.fit(dataset)
        self.blocks_ = blocks
        self.index_ = index
        self.updated_at_ = dataset.until
        return self

    def bind(self, schema: Schema) -> Assemble:
        """Return a copy with every block bound.

        Raises
        ------
        ConfigurationError
            If two features have one name.
        """
        blocks = [bound(block, schema) for block in self._parts]
        names = _names(blocks)
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ConfigurationError(
                f"found feature {min(repeated)!r} twice in {self!r}; expected distinct names"
            )
        return bound_copy(self, blocks_=blocks)

    def table(self) -> FeatureTable:
        """Return the meaning of each feature."""
        return FeatureTable([feature for block in self._parts for feature in table_of(block)])

    def freshness(self) -> dict[str, float]:
        """Return until when the data of each feature is known, in seconds since 1970; ``inf`` if always current."""
        known = dict.fromkeys(self.names, np.inf)
        for block in self._parts:
            if isinstance(block, FeatureFreshness):
                known |= block.freshness()
        return known

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the features of all blocks as of each request's own time, (N, F) float32; NaN means missing.

        Raises
        ------
        NotFittedError
            If a block learns from data and ``fit`` was not called.
        ContractError
            If a block of your own returns another shape or dtype.
        """
        return self._selected(candidates, np.ones(len(self.names), np.bool_))

    def _selected(self, candidates: Candidates, kept: BoolArray) -> Float32Array:
        """Return the matrix of the features kept, in their order; blocks without any are not asked."""
        out = np.empty((len(candidates), np.count_nonzero(kept)), np.float32)
        index: EventIndex | LayeredIndex | None = self.index_
        if self.live_events is not None and self.index_ is not None:
            index = layered(self.index_, candidates.requests.read(self.live_events))
        context = Context(candidates, index)
        start = filled = 0
        for block in self._parts:
            own = kept[start : start + len(block.names)]
            start += len(own)
            n = int(np.count_nonzero(own))
            if n:
                own_block = isinstance(block, Block)
                columns = block._columns(context) if own_block else _features_of(block, candidates).T
                values = np.asarray(columns, np.float32)
                _turn(values if n == len(own) else values[own], out[:, filled : filled + n])
                filled += n
        return out


def _turn(columns: Float32Array, out: Float32Array) -> None:
    """Write columns (F, N) into rows (N, F), some rows at a time: all at once would miss the cache at every value."""
    for start in range(0, len(out), _TILE):
        out[start : start + _TILE] = columns[:, start : start + _TILE].T


def _names(blocks: Sequence[Any]) -> tuple[str, ...]:
    return tuple(name for block in blocks for name in block.names)


def _features_of(block: Any, candidates: Candidates) -> Float32Array:
    values = block.featurize(candidates)
    shape = (len(candidates), len(block.names))
    if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype != np.float32:
        form = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ContractError(f"found {form} from {block!r}.featurize; expected float32 {shape}")
    return values
