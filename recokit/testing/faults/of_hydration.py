"""Kinds of hydration: what is known of the user is another's, too little, too much or old."""

from __future__ import annotations

import numpy as np

from recokit.data import DAY
from recokit.errors import ConfigurationError
from recokit.protocols import Role, traits_of
from recokit.testing.faults import hydration, stages
from recokit.testing.faults.catalogue import Planted, broken, broken_for, kind
from recokit.testing.faults.site import Draw, Site
from recokit.typing import IntArray


def others(site: Site, draw: Draw) -> IntArray:
    """Return another user's code for each, all of them users with events."""
    known = np.unique(site.data.interactions.user)
    other = np.arange(len(site.pipeline.schema.user_ids) + 1)
    order = np.random.default_rng(draw.seed).permutation(known)
    other[order] = np.roll(order, 1)
    return other


@kind("hydration", "HISTORY_OF_ANOTHER")
def history_of_another(site: Site, draw: Draw) -> Planted:
    """Each user has the history of another one: a join with the wrong key."""
    return broken(site, site.history, lambda stage: stages.for_users(stage, others(site, draw)))


@kind("hydration", "HISTORY_SAME_FOR_ALL", alone=True)
def one_history_for_all(site: Site, draw: Draw) -> Planted:
    """All users have one user's history: a cache whose key lacks the user."""
    busy = np.bincount(site.data.interactions.user)
    user = draw.some(np.flatnonzero(busy >= np.quantile(busy[busy > 0], 0.5)).tolist())
    other = np.full(len(site.pipeline.schema.user_ids) + 1, user)
    return broken(site, site.history, lambda stage: stages.for_users(stage, other))


@kind("hydration", "HISTORY_OLDEST", "HISTORY_LATE")
def oldest_events_kept(site: Site, draw: Draw) -> Planted:
    """The history is cut to a length, and the oldest events stay where the newest should."""
    most = draw.whole(3, 10)
    return broken(site, site.history, lambda stage: hydration.oldest(stage, most), detail=f"{most}")


@kind("hydration", "HISTORY_TRUNCATED")
def history_truncated(site: Site, draw: Draw) -> Planted:
    """The history holds the newest few events only."""
    most = draw.whole(1, 3)
    return broken(site, site.history, lambda stage: hydration.newest(stage, most), detail=f"{most}")


@kind("hydration", "HISTORY_DUPLICATED", "EVENTS_DUPLICATED", alone=True)
def history_duplicated(site: Site, draw: Draw) -> Planted:
    """Each event stands in the history several times."""
    times = draw.whole(2, 5)
    return broken(site, site.history, lambda stage: hydration.repeated(stage, times), detail=f"{times} times")


@kind("hydration", "HISTORY_EMPTY")
def history_empty(site: Site, draw: Draw) -> Planted:
    """The history is empty for everyone, and nothing fails."""
    return broken(site, site.history, hydration.emptied)


@kind("hydration", "HISTORY_LATE", "EVENTS_LATE")
def history_late(site: Site, draw: Draw) -> Planted:
    """The history lacks the events of the last days."""
    days = draw.between(7.0, 30.0)
    return broken(
        site, site.history, lambda stage: hydration.late(stage, days * DAY), detail=f"{days:.0f} days"
    )


@kind("hydration", "HISTORY_OF_OTHER_ITEMS", "HISTORY_OF_ANOTHER")
def history_of_other_items(site: Site, draw: Draw) -> Planted:
    """The items of the history are codes of another vocabulary."""
    order = np.random.default_rng(draw.seed).permutation(site.n_items) + 1
    other = np.concatenate([[0], order])
    return broken(site, site.history, lambda stage: hydration.of_items(stage, other))


@kind("hydration", "OWNED_LOST", "RULE_REMOVES_LESS")
def owned_lost(site: Site, draw: Draw) -> Planted:
    """The list of what the user owns is empty, so nothing is kept from being offered again."""
    if not len(site.hydrated.lists("owned").values):
        raise ConfigurationError("found nobody who owns anything; expected purchases")
    rules = tuple(site.those(Role.FILTER, lambda stage: "owned" in traits_of(stage).requires))
    if not rules:
        raise ConfigurationError("found no rule that reads what a user owns; expected one, such as NotOwned")
    return broken(site, site.history, lambda stage: hydration.emptied(stage, "owned"), also=rules)


@kind("hydration", "SESSION_OF_ANOTHER", "HISTORY_OF_ANOTHER")
def session_of_another(site: Site, draw: Draw) -> Planted:
    """Each user has the session of another one."""
    names = site.those(Role.HYDRATOR, lambda stage: "session" in traits_of(stage).provides)
    name = draw.some(names, "hydrator of a session")
    return broken(site, name, lambda stage: stages.for_users(stage, others(site, draw)))


@kind("hydration", "HISTORY_EMPTY")
def history_empty_for_segment(site: Site, draw: Draw) -> Planted:
    """The history is empty for one segment of the users or requests."""
    return broken_for(site, site.history, hydration.emptied, site.segment(draw))


@kind("hydration", "HISTORY_OF_ANOTHER")
def history_of_another_for_segment(site: Site, draw: Draw) -> Planted:
    """The users of one segment have the histories of others."""
    other = others(site, draw)
    return broken_for(site, site.history, lambda stage: stages.for_users(stage, other), site.segment(draw))
