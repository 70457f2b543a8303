"""NonProfiling: a pipeline that is told nothing of who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data import Requests
from recokit.pipeline.asking import Lists, user_array
from recokit.result import Recommendations
from recokit.typing import AnyArray

if TYPE_CHECKING:
    from recokit.pipeline.pipeline import Pipeline

__all__ = ["NonProfiling"]

#: What a caller says of one request, not of a person.
_OF_THE_REQUEST = ("items", "exclude")


class NonProfiling:
    """The same fitted pipeline for users who do not want to be profiled.

    Every request runs as an anonymous one: without the user's id, history, purchases or session, and so without user
    columns and personal features. What the request itself says stays: context, ``items``, ``exclude``, the time.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted; made by its method ``non_profiling``.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def recommend(
        self,
        users: Sequence[Any] | AnyArray | None = None,
        k: int | Sequence[int] = 10,
        *,
        history: Lists | None = None,
        session: Lists | None = None,
        **options: Any,
    ) -> Recommendations:
        """Recommend items as :meth:`Pipeline.recommend` does, with users, history and session only counted.

        A rule that needs to know what a user owns lets everything pass.
        """
        lists = {"history": history, "session": session, "items": options.get("items")}
        asked = user_array(users, lists)
        result = self.pipeline.recommend([None] * len(asked), k, **options)
        return replace(result, users=asked)

    def run(self, requests: Requests, **options: Any) -> Recommendations:
        """Run requests made of codes, as :meth:`Pipeline.run` does, without the persons in them."""
        kept = {name: lists for name, lists in requests.ragged.items() if name in _OF_THE_REQUEST}
        given = {name: mask for name, mask in requests.given.items() if name in kept}
        nobody = np.zeros_like(requests.user)
        return self.pipeline.run(replace(requests, user=nobody, ragged=kept, given=given), **options)

    def __repr__(self) -> str:
        return f"{self.pipeline!r}.non_profiling()"
