"""FromSources: what sources think of the candidates, whoever found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.segments import offsets_to_rows, rank_in_row
from recokit._utils.options import check_options, whole
from recokit._utils.params import clone
from recokit.compose.alone.features import AloneFeatures
from recokit.compose.composed import ask, require_sources
from recokit.compose.step import leaf_name, stage_of
from recokit.data import Candidates, Dataset, Retrieved, Schema
from recokit.errors import ConfigurationError
from recokit.features._block import bound_copy
from recokit.features.table import Feature, FeatureTable
from recokit.protocols import Trainable, bound, traits_of
from recokit.typing import Float32Array


class FromSources(AloneFeatures):
    """How far up each candidate stands in the lists of sources, also of those that find no candidates.

    Features for each source: ``by_{source}_rank`` (1 / rank in its list of ``depth`` items, 0 outside) and
    ``by_{source}_score`` (its score over that of its first item, 0 outside, NaN where the source has no list for the
    request). A source that would waste places of the candidates may order them well all the same: neighbours of the
    last item, popularity of the day, several half-lives. The sources learn with the block, before each training
    window's cut.

    Parameters
    ----------
    sources : sequence of sources
        Or steps around them, whose names are taken.
    depth : int, default 1000
        Length of the lists.

    Raises
    ------
    ConfigurationError
        For no source, two of one name, or a depth below 1.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> from recokit.data import Ragged, Requests
    >>> data = Dataset.from_frame({"user": [1, 2, 2], "item": [7, 8, 7], "timestamp": [10, 20, 30]})
    >>> block = FromSources([Popular(half_life=None)]).fit(data)
    >>> batch = Candidates.from_lists([[2, 1]])
    >>> dict(zip(block.names, block.featurize(batch).T.tolist()))
    {'by_popular_rank': [0.5, 1.0], 'by_popular_score': [0.5, 1.0]}
    """

    family = "sources"

    def __init__(self, sources: Sequence[Any], *, depth: int = 1000) -> None:
        require_sources(sources, "FromSources")
        self.sources, self.depth = sources, depth
        check_options(self, {"depth": whole(1)})
        repeated = [name for name in self._leaves if self._leaves.count(name) > 1]
        if repeated:
            raise ConfigurationError(
                f"found two sources named {repeated[0]!r}; expected distinct names; "
                "hint: Step(source, name='another_name')"
            )

    @property
    def _leaves(self) -> list[str]:
        return [leaf_name(source) for source in self.sources]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(f"by_{name}_{part}" for name in self._leaves for part in ("rank", "score"))

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the sources need."""
        each = (traits_of(stage_of(source)).requires for source in self.sources)
        return tuple(dict.fromkeys(name for names in each for name in names))

    def table(self) -> FeatureTable:
        """Return the meaning of each feature."""
        meanings = []
        for name in self._leaves:
            meanings.append(f"1 / rank in the list of {name}, 0 outside its first {self.depth:,}")
            meanings.append(
                f"score of {name} over that of its first item, 0 outside its first {self.depth:,}"
            )
        each = zip(self.names, meanings, strict=True)
        return FeatureTable([Feature(name, self.family, meaning) for name, meaning in each])

    def fit(self, dataset: Dataset) -> FromSources:
        """Fit a clone of every source that learns."""
        self.sources_ = [clone(stage_of(source)) for source in self.sources]
        for source in self.sources_:
            if isinstance(source, Trainable):
                source.fit(dataset)
        self.updated_at_ = dataset.until
        return self

    def bind(self, schema: Schema) -> FromSources:
        """Return a copy with every source bound to the schema."""
        return bound_copy(self, sources_=[bound(source, schema) for source in self._fitted_sources()])

    def freshness(self) -> dict[str, float]:
        """Return until when the data of each feature is known, in seconds since 1970."""
        return dict.fromkeys(self.names, self.updated_at_)

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the features, (N, 2 x sources) float32.

        Raises
        ------
        NotFittedError
            Before ``fit``, where a source learns.
        """
        out = np.zeros((len(candidates), len(self.names)), np.float32)
        for place, (name, source) in enumerate(zip(self._leaves, self._fitted_sources(), strict=True)):
            lists = ask(source, candidates.requests, self.depth, name)
            _write(candidates, lists, out[:, 2 * place : 2 * place + 2])
        return out

    def _fitted_sources(self) -> list[Any]:
        return list(getattr(self, "sources_", None) or [stage_of(source) for source in self.sources])


def _write(candidates: Candidates, lists: Retrieved, out: Float32Array) -> None:
    """Write 1 / rank and the share of the first score of each candidate in its row's list."""
    row = offsets_to_rows(lists.offsets)
    width = 1 + max(int(lists.item.max(initial=0)), int(candidates.item.max(initial=0)))
    key = row * width + lists.item
    order = np.argsort(key, kind="stable")
    position, found = locate_sorted(key[order], candidates.row * width + candidates.item)
    at = order[position[found]]
    out[found, 0] = 1.0 / (rank_in_row(row, lists.offsets)[at] + 1.0)
    first = np.abs(lists.score[lists.offsets[:-1][row[at]]]) if len(at) else np.zeros(0, np.float32)
    out[found, 1] = np.divide(lists.score[at], first, out=np.ones(len(at), np.float32), where=first > 0)
    out[(np.diff(lists.offsets) == 0)[candidates.row], 1] = np.nan
