"""Stages that do next to nothing: the time of a run through them is the framework's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import recokit as rk
from recokit.data import Interactions, Requests, Retrieved, Table, Vocabulary

__all__ = ["trivial_pipeline"]

N_ITEMS = 1_000


class Everything:
    """Source: the whole catalogue."""

    def __init__(self) -> None:
        self.item = np.arange(1, N_ITEMS + 1)
        self.score = np.linspace(1, 0, N_ITEMS, dtype=np.float32)

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        return Retrieved(np.array([0, N_ITEMS]), self.item, self.score)


class All:
    """Filter: lets everything through."""

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        return np.ones(len(candidates.item), np.bool_)


class Column:
    """Featurizer: one column of zeros."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def featurize(self, candidates: rk.Candidates) -> np.ndarray:
        return np.zeros((len(candidates.item), 1), np.float32)


class AsRetrieved:
    """Scorer: the source's score."""

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return candidates.columns["everything_score"]


class Nothing:
    """Annotator: no columns."""

    def annotate(self, candidates: rk.Candidates) -> Mapping[str, Any]:
        return {}


def trivial_pipeline(stages: int = 11) -> rk.Pipeline:
    """Return a fitted pipeline of so many stages: a source, a scorer and at least one of every other kind."""
    if stages < 5:
        raise ValueError(f"found {stages} stages; expected at least 5")
    filters = [rk.Step(All(), name=f"all_{i}") for i in range(stages - 6)]
    body = [*filters, rk.Step(Column("a"), name="a"), rk.Step(Column("b"), name="b"), AsRetrieved()]
    log = Interactions(
        user=np.ones(1, np.int64),
        item=np.ones(1, np.int64),
        timestamp=np.zeros(1),
        event=np.zeros(1, np.int64),
        weight=np.ones(1, np.float32),
        value=np.full(1, np.nan, np.float32),
    )
    ids = Vocabulary(np.arange(1, N_ITEMS + 1))
    data = rk.Dataset(log, Vocabulary(np.array([1])), ids, Table.empty(1), Table.empty(N_ITEMS))
    ends = [rk.Step(Nothing(), name=f"nothing_{i}") for i in range(2)]
    return rk.Pipeline([rk.Step(Everything(), limit=N_ITEMS), *body, *ends]).fit(data)
