"""Rankers made of rankers: they fit, bind and hold out for their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._utils.params import clone
from recokit.data import Candidates, RankingData, Requests, Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Bindable, RankerTrainable, Role, role_of, traits_of


def check_rankers(rankers: Sequence[Any], who: str) -> None:
    """Check that there is a ranker, and nothing else."""
    if not rankers:
        raise ConfigurationError(f"found no ranker for {who}; expected at least one")
    for ranker in rankers:
        if role_of(ranker) is not Role.SCORER:
            raise ConfigurationError(
                f"found {ranker!r} in {who}; expected rankers, which have score(candidates)"
            )


def fit_parts(rankers: Sequence[Any], data: RankingData) -> list[Any]:
    """Return fitted clones; rankers that learn nothing are taken as they are."""
    return [clone(ranker).fit(data) if isinstance(ranker, RankerTrainable) else ranker for ranker in rankers]


def fit_held_out(rankers: Sequence[Any], data: RankingData) -> tuple[list[Any], RankingData] | None:
    """Return rankers fitted without every other validation group, and these groups; None without validation rows.

    Rankers choose by the groups that are left to them, and may learn from these too: a choice between or beyond them
    has to be judged by rows that none has seen.
    """
    held = data.validation
    if held is None or len(held.offsets) < 3:
        return None
    groups = np.arange(len(held.offsets) - 1)
    part = replace(data, validation=held.take(groups[::2]))
    unseen = replace(held.take(groups[1::2]), schema=data.schema, validation=None)
    return fit_parts(rankers, part), unseen


def bound_parts(rankers: Sequence[Any], schema: Schema) -> list[Any]:
    """Return rankers bound to a schema."""
    return [ranker.bind(schema) if isinstance(ranker, Bindable) else ranker for ranker in rankers]


def requires_of(rankers: Sequence[Any]) -> tuple[str, ...]:
    """Return the names that rankers need."""
    return tuple(dict.fromkeys(name for ranker in rankers for name in traits_of(ranker).requires))


def as_candidates(data: RankingData) -> Candidates:
    """Return training rows as candidates, each group one request."""
    starts, filled = data.offsets[:-1], np.diff(data.offsets) > 0
    user, now = np.zeros(len(starts), np.int64), np.zeros(len(starts))
    user[filled], now[filled] = data.user[starts[filled]], data.now[starts[filled]]
    return Candidates(
        requests=Requests.build(user, now=now),
        offsets=data.offsets,
        row=offsets_to_rows(data.offsets),
        item=data.item,
        score=np.full(len(data), np.nan, np.float32),
        sources=np.zeros(len(data), np.uint64),
        columns=data.columns,
        features=data.features,
        feature_names=data.feature_names,
    )
