"""Nested: a fitted pipeline as one source of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data import Live, Requests, Retrieved, Schema
from recokit.errors import VocabularyMismatch

if TYPE_CHECKING:
    from recokit.pipeline.pipeline import Pipeline

__all__ = ["PipelineSource"]


class PipelineSource:
    """A fitted pipeline as one source of another; its list is what the source retrieves.

    Both must have the same vocabularies. It is not fitted again with the outer one, and cannot be saved inside it.

    Parameters
    ----------
    pipeline : Pipeline
        The inner pipeline.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> inner = rk.Pipeline([rk.candidates.Popular(window="3650D")]).fit(data)
    >>> outer = rk.Pipeline([inner.as_source()]).fit(data)
    >>> outer.recommend([None], k=3).ids(0) == inner.recommend([None], k=3).ids(0)
    True
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def __repr__(self) -> str:
        return f"PipelineSource({self.pipeline.fingerprint})"

    @property
    def fitted_until_(self) -> float:
        """Time up to which the inner pipeline has seen events."""
        return self.pipeline.fitted_until

    def live_values(self) -> Mapping[int, Live[Any]]:
        """Return the inner pipeline's live values, which the outer run pins too."""
        return self.pipeline.live_values()

    def bind(self, schema: Schema) -> PipelineSource:
        """Check that both pipelines mean the same by a code.

        Raises
        ------
        VocabularyMismatch
            If they were fitted with different vocabularies.
        """
        own = self.pipeline.schema
        for name in ("item_ids", "user_ids"):
            mine, theirs = getattr(own, name), getattr(schema, name)
            if mine != theirs:
                raise VocabularyMismatch(
                    f"found an inner pipeline whose {name} ({len(mine)}) differ from the outer one's ({len(theirs)}); "
                    "expected the same; hint: fit both on the same dataset"
                )
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the inner pipeline's list of at most ``limit`` items, within the time that is left.

        Raises
        ------
        StageError
            If a row of the inner pipeline FAILED.
        """
        asked = replace(requests, k=np.full(len(requests), limit, np.int64))
        left = requests.remaining()
        budget_ms = None if left == np.inf else max(1e3 * left, 1e-3)
        answer = self.pipeline.run(asked, budget_ms=budget_ms).raise_for_status()
        return Retrieved(answer.offsets, answer.item, answer.score)
