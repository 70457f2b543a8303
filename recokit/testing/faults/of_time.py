"""Kinds about time: events, requests and models that are at the wrong moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.data import DAY
from recokit.protocols import Role
from recokit.testing.faults import stages
from recokit.testing.faults.catalogue import Planted, broken, kind
from recokit.testing.faults.of_data import replace_log
from recokit.testing.faults.site import Draw, Site

HOUR = 3_600.0


def _as_of_stages(site: Site) -> tuple[str, ...]:
    return ("", *site.named(Role.HYDRATOR), *site.named(Role.FEATURIZER), *site.named(Role.SOURCE))


@kind("time", "TIME_SHIFTED")
def events_in_other_zone(site: Site, draw: Draw) -> Planted:
    """All events are stamped hours too late, in another zone, so the newest of them lie in the future."""
    hours = draw.whole(3, 12)
    log = site.data.interactions
    data = site.data.with_interactions(
        replace_log(log, timestamp=log.timestamp + hours * HOUR), cut=site.data.until
    )
    return Planted(site.pipeline.with_events(data), _as_of_stages(site), detail=f"{hours} h")


@kind("time", "TIME_SHIFTED", "EVENTS_LATE", "HISTORY_LATE", alone=True)
def new_events_in_future(site: Site, draw: Draw) -> Planted:
    """Since some day events are stamped in milliseconds, so no request ever sees those after it."""
    days = draw.between(8.0, 25.0)
    log = site.data.interactions
    span = min(days * DAY, 0.4 * (site.now - float(log.timestamp[0])))
    new = log.timestamp >= site.now - span
    data = site.data.with_interactions(
        replace_log(log, timestamp=np.where(new, 1_000.0 * log.timestamp, log.timestamp)), cut=site.data.until
    )
    return Planted(site.pipeline.with_events(data), _as_of_stages(site), detail=f"{span / DAY:.0f} days")


@kind("time", "TIME_UNIT", "TIME_SHIFTED", "HISTORY_EMPTY")
def events_in_milliseconds(site: Site, draw: Draw) -> Planted:
    """The whole log is in milliseconds where seconds are meant: to every request, nothing has happened yet."""
    log = site.data.interactions
    data = site.data.with_interactions(
        replace_log(log, timestamp=1_000.0 * log.timestamp), cut=site.data.until
    )
    return Planted(site.pipeline.with_events(data), _as_of_stages(site))


@kind("time", "CLOCK_FROZEN", "STALE_FEATURES", "TIME_SHIFTED")
def clock_of_features_frozen(site: Site, draw: Draw) -> Planted:
    """The features are computed as of the moment at which the process started, days ago."""
    days = draw.between(8.0, 40.0)
    until = site.now - days * DAY
    return broken(
        site, site.features, lambda block: stages.as_of(block, lambda now: np.full_like(now, until)),
        detail=f"{days:.0f} days",
    )  # fmt: skip


@kind("time", "CLOCK_FROZEN", "HISTORY_LATE", "TIME_SHIFTED")
def clock_of_history_frozen(site: Site, draw: Draw) -> Planted:
    """The history is read as of the moment at which the process started, days ago."""
    days = draw.between(8.0, 40.0)
    until = site.now - days * DAY
    return broken(
        site, site.history, lambda stage: stages.as_of(stage, lambda now: np.full_like(now, until)),
        detail=f"{days:.0f} days",
    )  # fmt: skip


@kind("time", "TIME_SHIFTED", "FEATURES_DRIFTED")
def features_in_other_zone(site: Site, draw: Draw) -> Planted:
    """The features are computed as of hours before or after the request: another zone."""
    hours = draw.some((-1, 1)) * draw.whole(4, 12)
    return broken(
        site, site.features, lambda block: stages.as_of(block, lambda now: now + hours * HOUR),
        detail=f"{hours} h",
    )  # fmt: skip


@kind("time", "SOURCE_FROZEN", "STALE_INDEX")
def source_frozen(site: Site, draw: Draw) -> Planted:
    """A source has not learned for weeks, and its stamp says that it did today."""
    name = draw.some([name for name in site.named(Role.SOURCE) if site.learns(name)], "source that learns")

    def frozen(stage: Any) -> Any:
        return stages.with_attributes(stages.stale(stage, site.older), fitted_until_=site.data.until)

    return broken(site, name, frozen)
