"""Served: a model as it serves, and how it answers rows that wait."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recokit._utils.copies import with_fields
from recokit.data import Candidates, Requests
from recokit.data.context import NOT_GIVEN
from recokit.pipeline import Pipeline
from recokit.protocols import Observer
from recokit.result import Recommendations
from recokit.serving.ask import LISTS, Answer, Ask
from recokit.serving.precomputed import Precomputed
from recokit.trace import Status
from recokit.typing import IntArray


@dataclass(frozen=True, eq=False)
class Served:
    """A fitted pipeline with the list made ahead for it; replaced as a whole.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    fallback : Precomputed
        The list made ahead.
    version : str
        Name of the version, empty where there are none.
    """

    pipeline: Pipeline
    fallback: Precomputed
    version: str = ""

    @cached_property
    def filler(self) -> IntArray:
        """The list made ahead, in item codes."""
        return self.fallback.codes(self.pipeline.schema.item_ids)

    @cached_property
    def rules_wait(self) -> bool:
        """Whether checking a list asks anything over a network."""
        return self.pipeline.recheck_waits

    @cached_property
    def waits(self) -> bool:
        """Whether any stage asks something over a network."""
        return bool(self.pipeline.dependency_states())

    def requests(self, asks: Sequence[Ask], effort: float = 1.0) -> Requests:
        """Return the requests of some rows; errors as for ``recommend``."""
        lists = {
            name: [ask.lists.get(name) for ask in asks]
            for name in LISTS
            if any(name in ask.lists for ask in asks)
        }
        names = sorted({name for ask in asks for name in ask.context})
        context = {name: [ask.context.get(name, NOT_GIVEN) for ask in asks] for name in names}
        given = any(ask.now is not None for ask in asks)
        now = [self.pipeline.clock() if ask.now is None else ask.now for ask in asks] if given else None
        seeds = [ask.seed for ask in asks]
        requests = self.pipeline.requests(
            [ask.user for ask in asks],
            [ask.k for ask in asks],
            context=context,
            now=now,
            seed=seeds[0] if len(set(seeds)) == 1 else seeds,
            **lists,
        )
        return requests if effort >= 1.0 else with_fields(requests, effort=effort)

    def run(self, asks: Sequence[Ask], seconds: Sequence[float], effort: float) -> list[Answer]:
        """Return the model's answers to rows, each with so many seconds left."""
        budget = [1e3 * left for left in seconds]
        lists = self.pipeline.run(self.requests(asks, effort), budget_ms=budget)
        return [Answer(lists, row) for row in range(len(asks))]

    def recheck(
        self, ask: Ask, listed: Candidates, source: str, why: str = "", *, seconds: float = float("inf")
    ) -> Answer:
        """Return a list made earlier as far as the rules allow it now, filled up with the list made ahead."""
        budget = None if seconds == float("inf") else 1e3 * seconds
        lists = self.pipeline.recheck(self.requests([ask]), listed, filler=self.filler, budget_ms=budget)
        return Answer(lists, 0, source, why)

    def precomputed(self, asks: Sequence[Ask], why: str, *, seconds: float) -> list[Answer]:
        """Return the list made ahead for some rows, as far as the rules allow it."""
        lists = self.pipeline.recheck(self.requests(asks), filler=self.filler, budget_ms=1e3 * seconds)
        return [Answer(lists, row, "precomputed", why) for row in range(len(asks))]

    def nothing(self, ask: Ask, why: str) -> Answer:
        """Return the answer that is left when nothing may be shown: an empty list that says so."""
        users = np.empty(1, object)
        users[0] = ask.user
        lists = Recommendations(
            users=users,
            offsets=np.zeros(2, np.int64),
            item=np.zeros(0, np.int64),
            score=np.zeros(0, np.float32),
            columns={},
            sources=(),
            status=np.array([int(Status.FAILED)]),
            reasons=((why,),),
            item_ids=self.pipeline.schema.item_ids,
            fingerprint=self.pipeline.fingerprint,
        )
        return Answer(lists, 0, "precomputed")


def one_row(answer: Answer) -> Candidates:
    """Return the list of an answer with all its columns, alone: what a cache keeps."""
    selected = answer.trace.selected
    bare = with_fields(selected, features=np.zeros((len(selected), 0), np.float32), feature_names=())
    alone = bare.take_rows(np.array([answer.row]))
    # What the request carried (live values, hydrated columns) must not live as long as the list.
    return with_fields(
        alone, requests=Requests.build(alone.requests.user, k=alone.requests.k, now=alone.requests.now)
    )


def observed(pipeline: Pipeline, observers: Sequence[Observer]) -> Pipeline:
    """Return a pipeline that shows its traces to further observers."""
    changed = copy.copy(pipeline)
    changed.observers = (*pipeline.observers, *observers)
    return changed


def quiet(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that nobody observes."""
    changed = copy.copy(pipeline)
    changed.observers = ()
    return changed
