"""Views of a fitted pipeline: as one source of another, and for users who are not to be profiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.data import Live, Requests, Retrieved, Schema
from recokit.data.query import ItemLists, Query
from recokit.errors import ConfigurationError, VocabularyMismatch
from recokit.protocols import HoldsRules, MovesItems, Runnable
from recokit.result import Recommendations
from recokit.typing import AnyArray


class PipelineSource:
    """A fitted pipeline as one source of another; the source retrieves its list.

    Both must have the same vocabularies. It is not fitted again with the outer one, and cannot be saved inside it.

    Parameters
    ----------
    pipeline : Runnable
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

    def __init__(self, pipeline: Runnable) -> None:
        self.pipeline = pipeline

    def __repr__(self) -> str:
        return f"PipelineSource({self.pipeline.fingerprint})"

    @property
    def fitted_until_(self) -> float:
        """Time up to which the inner pipeline has seen events."""
        return self.pipeline.fitted_until

    def state(self) -> Mapping[str, Any]:
        """Refuse to be saved.

        Raises
        ------
        ConfigurationError
            Always: a saved pipeline holds no other.
        """
        raise ConfigurationError(
            f"found the pipeline {self.pipeline.fingerprint} as a source of the one to save; expected none in it; "
            "hint: save the inner one on its own, load it, and build the outer one around its as_source() again"
        )

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load nothing: see :meth:`state`."""

    def live_values(self) -> Mapping[int, Live[Any]]:
        """Return the inner pipeline's live values, which the outer run pins too."""
        return self.pipeline.live_values()

    def moving_rules(self) -> tuple[Any, ...]:
        """Return the rules that moved items in the inner pipeline, whose lists come without its labels."""
        return tuple(
            rule
            for node in self.pipeline
            for rule in (node.stage.moving_rules() if isinstance(node.stage, HoldsRules) else (node.stage,))
            if isinstance(rule, MovesItems)
        )

    def bind(self, schema: Schema) -> PipelineSource:
        """Check that both pipelines mean the same by a code.

        Raises
        ------
        VocabularyMismatch
            If they were fitted with different vocabularies.
        """
        own = self.pipeline.schema
        vocabularies = {
            "item_ids": (own.item_ids, schema.item_ids),
            "user_ids": (own.user_ids, schema.user_ids),
        }
        for name, (mine, theirs) in vocabularies.items():
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
        inner = replace(requests, k=np.full(len(requests), limit, np.int64))
        left = requests.remaining()
        budget_ms = None if left == np.inf else max(1e3 * left, 1e-3)
        answer = self.pipeline.run(inner, budget_ms=budget_ms).raise_for_status()
        return Retrieved(answer.offsets, answer.item, answer.score)


#: Lists that belong to one request, not to a person.
_OF_THE_REQUEST = ("items", "exclude")


class NonProfiling:
    """The same fitted pipeline for users who do not want to be profiled.

    Every request runs as an anonymous one: without the user's id, history, purchases or session, and so without user
    columns and personal features. The request itself stays: its context, ``items``, ``exclude``, the time.

    Parameters
    ----------
    pipeline : Runnable
        Fitted; made by its method ``non_profiling``.
    """

    def __init__(self, pipeline: Runnable) -> None:
        self.pipeline = pipeline

    @property
    def fitted_until(self) -> float:
        """Time up to which the pipeline has seen events."""
        return self.pipeline.fitted_until

    def recommend(
        self,
        users: Sequence[Any] | AnyArray | None = None,
        k: int | Sequence[int] = 10,
        *,
        history: ItemLists | None = None,
        session: ItemLists | None = None,
        **options: Any,
    ) -> Recommendations:
        """Recommend items as :meth:`Pipeline.recommend` does, with users, history and session only counted.

        A rule that needs to know what a user owns lets everything pass.
        """
        query = Query(users, history=history, session=session, items=options.get("items"))
        result = self.pipeline.recommend([None] * len(query.users), k, **options)
        return replace(result, users=query.users)

    def run(self, requests: Requests, **options: Any) -> Recommendations:
        """Run requests made of codes, as :meth:`Pipeline.run` does, without the persons in them."""
        kept = {name: lists for name, lists in requests.ragged.items() if name in _OF_THE_REQUEST}
        given = {name: mask for name, mask in requests.from_caller.items() if name in kept}
        nobody = np.zeros_like(requests.user)
        return self.pipeline.run(
            replace(
                requests,
                user=nobody,
                user_ids=np.full(len(nobody), None, object),
                ragged=kept,
                from_caller=given,
            ),
            **options,
        )

    def __repr__(self) -> str:
        return f"{self.pipeline!r}.non_profiling()"
