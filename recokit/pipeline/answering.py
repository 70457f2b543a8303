"""Answering: what a fitted pipeline answers to requests made of codes, and to questions about items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.copies import with_fields
from recokit.data import Candidates, Ragged, Requests
from recokit.data.by_id import user_ids_of
from recokit.data.query import ItemLists, Query, check_items
from recokit.errors import DataError, NotFittedError
from recokit.pipeline.model import Budget, Capture, Model, notify_observers
from recokit.protocols import Observer
from recokit.result import Recommendations
from recokit.typing import AnyArray


class Answering:
    """The methods of a pipeline that answer, beside ``recommend``: for tools, services and pages of items."""

    observers: Sequence[Observer]
    clock: Callable[[], float]
    _model: Model | None

    def run(
        self,
        requests: Requests,
        *,
        capture: Capture = "summary",
        budget_ms: Budget = None,
        observe: bool = True,
    ) -> Recommendations:
        """Run requests made of codes, as one batch: for tools that hold codes already.

        Live values that the requests carry (``requests.pinned`` of an earlier trace) are used again, so a run can be
        repeated on what it saw; ``observe=False`` leaves the observers out of it.

        Raises
        ------
        VocabularyMismatch
            If a code is none of this model's.
        """
        return self._answer(requests, observe, capture=capture, budget_ms=budget_ms)

    def _answer(self, requests: Requests, observe: bool, **options: Any) -> Recommendations:
        model = self._ready()
        model.check_codes(requests)
        users = user_ids_of(requests, model.schema.user_ids)
        requests = with_fields(requests, user_ids=users)
        answer = model.answer(model.pinned(requests), users, **options)
        return notify_observers(self.observers, answer) if observe else answer

    def complete(
        self,
        requests: Requests,
        ordered: Ragged,
        *,
        capture: Capture = "summary",
        budget_ms: Budget = None,
        observe: bool = True,
    ) -> Recommendations:
        """Complete lists made elsewhere, as by interleaving two pipelines or out of a cache, under this one's rules.

        Filters, limits, annotators and checks on labels hold for the answer as for any other. The items of each list
        come in its order as far as the limits allow; where they do not fill k places, this pipeline's own candidates
        follow, best score first, then the fallback. The objective or reranker plays no part.

        Parameters
        ----------
        requests : Requests
            Made of codes, as by ``requests``.
        ordered : Ragged
            For each request a list of distinct item codes, shorter or longer than k. In rows that rank given items only
            (``items``) others are left out.
        capture, budget_ms, observe
            As for ``run``.

        Raises
        ------
        VocabularyMismatch
            If a code is none of this model's; code 0, an unknown item, is none.
        DataError
            For another number of lists than requests, or an item twice in a list.

        Examples
        --------
        >>> from recokit import Pipeline, testing
        >>> from recokit.candidates import Popular
        >>> from recokit.data import Ragged
        >>> pipeline = Pipeline([Popular()]).fit(testing.toy_dataset())
        >>> requests = pipeline.requests([None], k=3, now=2e9)
        >>> pipeline.complete(requests, Ragged.from_lists([[7, 2]])).codes(0)[:2].tolist()
        [7, 2]
        """
        self._ready().check_ordered(ordered, len(requests))
        return self._answer(requests, observe, capture=capture, budget_ms=budget_ms, ordered=ordered)

    def recheck(
        self,
        requests: Requests,
        listed: Candidates | None = None,
        *,
        filler: AnyArray = (),  # type: ignore[assignment]  # no items
        budget_ms: Budget = None,
        observe: bool = True,
    ) -> Recommendations:
        """Return what may be shown now of lists made earlier: no source or ranker is asked.

        Filters, limits and labels hold as for any list. Where one is short, items of the filler follow.

        Parameters
        ----------
        requests : Requests
            Made of codes, as by ``requests``.
        listed : Candidates, optional
            The lists, as ``answer.trace.selected`` has them for the same requests.
        filler : ndarray of int64
            Item codes for every request, best first.
        budget_ms, observe
            As for ``run``.

        Examples
        --------
        >>> from recokit import Pipeline, testing
        >>> from recokit.candidates import Popular
        >>> pipeline = Pipeline([Popular()]).fit(testing.toy_dataset())
        >>> requests = pipeline.requests([None], k=2, now=2e9, exclude=[[101]])
        >>> pipeline.recheck(requests, filler=[1, 2, 3]).ids(0)
        [102, 103]
        """
        model = self._ready()
        model.check_codes(requests)
        users = user_ids_of(requests, model.schema.user_ids)
        asked = with_fields(requests, user_ids=users)
        codes = np.asarray(filler, np.int64)
        answer = model.recheck(asked, users, listed=listed, filler=codes, budget_ms=budget_ms)
        return notify_observers(self.observers, answer) if observe else answer

    def requests(
        self, users: Sequence[Any] | AnyArray | None = None, k: int | Sequence[int] = 10, **options: Any
    ) -> Requests:
        """Return the requests that ``recommend`` would run, for tools that run them again; options as there."""
        return Query(users, k, **options).encode(self._ready().schema, self.clock)

    def candidates(self, requests: Requests) -> Candidates:
        """Return a batch as it stands before selection: hydrated, retrieved, filtered, featurised and scored."""
        self._ready().check_codes(requests)
        return self._ready().candidates(requests)

    def similar_items(
        self,
        items: Sequence[Any],
        k: int = 10,
        *,
        users: Sequence[Any] | AnyArray | None = None,
        context: Mapping[str, Any] | None = None,
        exclude: ItemLists | None = None,
        now: Any = None,
        seed: int = 0,
    ) -> Recommendations:
        """Return the items most similar to each given one, by the first source with ``similar(items, k)``.

        Filters, hard limits, annotators and checks on labels hold as for any list. Rankers, boosts, soft limits, places
        and the objective play no part: the likeness decides.

        Parameters
        ----------
        items : sequence of ids
            External item ids; an unknown one has an empty list.
        k : int, default 10
            List length.
        users : sequence of ids, optional
            Who sees each list, for rules such as ``rules.NotOwned``; nobody in particular by default.
        context, exclude, now, seed
            As for :meth:`recommend`, one value or list for each item.

        Raises
        ------
        ConfigurationError
            If there is no such source.
        DataError
            For k below 1, or ids of the wrong kind.
        """
        model = self._ready()
        check_items(items)
        people = [None] * len(items) if users is None else users
        query = Query(people, k, context=context, exclude=exclude, now=now, seed=seed)
        if len(query.users) != len(items):
            raise DataError(f"found {len(query.users)} users; expected {len(items)}, one for each item")
        return model.similar(items, query.encode(model.schema, self.clock))

    def _ready(self) -> Model:
        if self._model is None:
            raise NotFittedError("found a pipeline before fit; expected pipeline.fit(dataset) first")
        return self._model

    @property
    def recheck_waits(self) -> bool:
        """Whether :meth:`recheck` asks anything over a network or of a disk."""
        return any(node.io_bound for node in self._ready().rechecking.plan)

    def dependency_states(self) -> dict[str, str]:
        """Return, by stage that waits for input and output, whether it is asked.

        ``"closed"``: it is; ``"open"``: it failed too often and is not; ``"half-open"``: a call tries it.
        """
        dependencies = self._ready().settings.dependencies
        return {name: dependency.breaker.state for name, dependency in dependencies.items()}
