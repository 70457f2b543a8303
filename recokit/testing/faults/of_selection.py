"""Kinds of limits and diversity: too tight, gone, or about other groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.protocols import Role
from recokit.testing.faults import stages
from recokit.testing.faults.catalogue import Planted, broken, kind
from recokit.testing.faults.site import Draw, Site


def _with(site: Site, role: Role, option: str) -> list[str]:
    return site.those(role, lambda stage: option in vars(stage))


@kind("selection", "LIMIT_TOO_TIGHT", "LIMIT_RELAXED", alone=True)
def cap_too_tight(site: Site, draw: Draw) -> Planted:
    """The share of the list that one group may have is far too small."""
    name = draw.some(_with(site, Role.CONSTRAINT, "share"), "limit on a share")
    share = draw.some((0.1, 0.12, 0.15))
    return broken(site, name, lambda stage: stages.with_option(stage, share=share), detail=f"{share}")


@kind("selection", "LIMIT_LOST", "LIMIT_TOO_LOOSE")
def cap_lost(site: Site, draw: Draw) -> Planted:
    """A limit allows everything, so one group may fill the list."""
    name = draw.some(_with(site, Role.CONSTRAINT, "share"), "limit on a share")
    return broken(site, name, lambda stage: stages.with_option(stage, share=1.0))


@kind("selection", "LIMIT_RELAXED", "LIMIT_TOO_TIGHT", alone=True)
def limit_that_cannot_be_met(site: Site, draw: Draw) -> Planted:
    """A soft limit asks for what the candidates cannot give, and yields in nearly every list."""
    names = _with(site, Role.CONSTRAINT, "share") + _with(site, Role.CONSTRAINT, "maximum")
    name = draw.some(names, "limit on groups")

    def one_group(call: Callable[..., Any], batch: Any) -> Any:
        limits = call(batch)
        return tuple(
            replace(limit, group=np.zeros(len(batch), np.int64), offsets=None, item=None, hard=False, share=None,
                    maximum=1, within=None)
            for limit in limits
        )  # fmt: skip

    return broken(site, name, lambda stage: stages.changed(stage, one_group))


@kind("selection", "LIMIT_GROUPS_CHANGED", "LIMIT_TOO_TIGHT", "LIMIT_LOST")
def groups_of_other_items(site: Site, draw: Draw) -> Planted:
    """The groups that a limit counts are those of other items."""
    names = _with(site, Role.CONSTRAINT, "column")
    name = draw.some(names, "limit on groups")
    order = np.random.default_rng(draw.seed).permutation(site.n_items) + 1
    other = np.concatenate([[0], order])

    def moved(call: Callable[..., Any], batch: Any) -> Any:
        return call(replace(batch, item=other[batch.item]))

    return broken(site, name, lambda stage: stages.changed(stage, moved))


@kind("selection", "DIVERSITY_TOO_STRONG", alone=True)
def diversity_too_strong(site: Site, draw: Draw) -> Planted:
    """Diversity counts nearly alone, and relevance next to nothing."""
    name = draw.some(_with(site, Role.OBJECTIVE, "trade_off"), "objective with a trade-off")
    trade_off = draw.between(0.0, 0.25)
    return broken(
        site, name, lambda stage: stages.with_option(stage, trade_off=trade_off), detail=f"{trade_off:.2f}"
    )
