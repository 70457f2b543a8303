"""Precomputed: the list that is there before the first request, and when nothing else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.options import require, whole
from recokit.data import Vocabulary
from recokit.errors import ConfigurationError
from recokit.pipeline import Pipeline
from recokit.typing import IntArray


class Precomputed:
    """A list for nobody in particular, made ahead: what a service shows where the model cannot answer in time.

    Hard filters, limits and labels are applied to it for each request like to any other list, so it should be longer
    than the lists that are asked for.

    Parameters
    ----------
    items : sequence of ids
        Distinct external item ids, best first. Those that a model does not know are left out when it serves.

    Raises
    ------
    ConfigurationError
        If there is none, or one stands twice.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(data)
    >>> Precomputed.of(pipeline, k=20, now=data.until)
    Precomputed(20 items)
    """

    def __init__(self, items: Sequence[Any]) -> None:
        listed = list(items)
        if not listed or len(set(listed)) < len(listed):
            raise ConfigurationError(
                f"found {len(listed)} items, {len(set(listed))} of them distinct; expected distinct ones, at least one"
            )
        self.items = listed
        #: How it is made again for another model; None where it was made by hand.
        self._again: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        *,
        k: int = 50,
        context: Mapping[str, Any] | None = None,
        now: Any = None,
    ) -> Precomputed:
        """Return what a pipeline recommends to an anonymous user.

        Parameters
        ----------
        pipeline : Pipeline
            Fitted.
        k : int, default 50
            Items at most.
        context, now
            As for ``recommend``.

        Raises
        ------
        ConfigurationError
            If it recommends nothing to an anonymous user.
        """
        require(whole(1), k=k)
        items = pipeline.recommend([None], k, context=context, now=now).ids(0)
        if not items:
            raise ConfigurationError(
                "found no item for an anonymous user; expected some; hint: Pipeline(..., fallback=candidates.Popular())"
                ", or Precomputed([...]) with items of your choice"
            )
        made = cls(items)
        made._again = {"k": k, "context": context, "now": now}
        return made

    def renewed(self, pipeline: Pipeline) -> Precomputed:
        """Return the list of another model; the same one where it was made by hand."""
        return self if self._again is None else Precomputed.of(pipeline, **self._again)

    def codes(self, item_ids: Vocabulary) -> IntArray:
        """Return the item codes of the items that a model knows, in order."""
        codes = item_ids.encode(self.items)
        return np.asarray(codes[codes > 0])

    def __repr__(self) -> str:
        return f"Precomputed({len(self.items)} items)"
