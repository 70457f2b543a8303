"""Kinds of serving: stages that fail, wait, retry or answer a part, old snapshots and swaps half done."""

from __future__ import annotations

import numpy as np

from recokit.data import Live
from recokit.errors import ConfigurationError, SourceTimeout
from recokit.protocols import Role
from recokit.testing.faults import sources, stages
from recokit.testing.faults.catalogue import Planted, broken, kind
from recokit.testing.faults.site import Draw, Site

_ANY = (Role.SOURCE, Role.FILTER, Role.FEATURIZER, Role.SCORER)


@kind("serving", "STAGE_SLOW", alone=True)
def slow_stage(site: Site, draw: Draw) -> Planted:
    """A stage takes far longer than it used to."""
    name, seconds = draw.some(site.named(*_ANY)), draw.between(0.12, 0.25)
    return broken(site, name, lambda stage: stages.delayed(stage, seconds), detail=f"{1e3 * seconds:.0f} ms")


@kind("serving", "STAGE_SLOW")
def slow_for_segment(site: Site, draw: Draw) -> Planted:
    """A stage takes far longer for one segment of the users or requests."""
    name, seconds = draw.some(site.named(*_ANY)), draw.between(0.12, 0.25)
    scope, hit = site.segment(draw)
    pipeline = site.pipeline.replace(name, stages.slow_for(site.pipeline[name], seconds, hit))
    return Planted(pipeline, (name,), scope=scope, detail=f"{1e3 * seconds:.0f} ms")


@kind("serving", "STAGE_FAILED", alone=True)
def failing_stage(site: Site, draw: Draw) -> Planted:
    """A stage fails on most requests."""
    name, share = draw.some(site.named(Role.SOURCE, Role.FEATURIZER, Role.SCORER)), draw.between(0.6, 1.0)
    return broken(
        site, name, lambda stage: stages.raising(stage, share, draw.seed), detail=f"{share:.0%} of requests"
    )


@kind("serving", "STAGE_INTERMITTENT", "STAGE_FAILED", alone=True)
def intermittent_timeouts(site: Site, draw: Draw) -> Planted:
    """A source times out on about half of the calls."""
    name, share = draw.some(site.named(Role.SOURCE)), draw.between(0.35, 0.65)
    error = SourceTimeout(f"{name} did not answer in 50 ms", name=name, role="source", cause=TimeoutError())
    return broken(
        site,
        name,
        lambda stage: stages.raising(stage, share, draw.seed, error),
        detail=f"{share:.0%} of calls",
    )


@kind("serving", "STAGE_FAILED", "HISTORY_EMPTY", alone=True)
def failing_hydrator(site: Site, draw: Draw) -> Planted:
    """What reads the history fails on a share of the requests."""
    share = draw.between(0.5, 1.0)
    return broken(
        site, site.history, lambda stage: stages.raising(stage, share, draw.seed), detail=f"{share:.0%}"
    )


@kind("serving", "STAGE_FAILED", alone=True)
def failing_rule(site: Site, draw: Draw) -> Planted:
    """A hard rule fails on a share of the requests, which show nothing then."""
    name, share = draw.some(site.named(Role.FILTER), "hard rule"), draw.between(0.4, 1.0)
    return broken(
        site, name, lambda stage: stages.raising(stage, share, draw.seed), detail=f"{share:.0%} of requests"
    )


@kind("serving", "STAGE_RETRIES", "STAGE_SLOW", alone=True)
def retries_hide_errors(site: Site, draw: Draw) -> Planted:
    """A stage fails inside on half of the calls, tries again and answers: nothing shows but the time."""
    name, share = draw.some(site.named(Role.SOURCE, Role.FEATURIZER)), draw.between(0.4, 0.7)
    wait, tries = draw.between(0.05, 0.1), draw.whole(2, 3)
    return broken(
        site, name,
        lambda stage: stages.retrying(stage, share, draw.seed, tries=tries, wait=wait),
        detail=f"{share:.0%} of calls, {tries} times {1e3 * wait:.0f} ms",
    )  # fmt: skip


@kind("serving", "SOURCE_DEGRADED", "STAGE_FAILED", alone=True)
def degraded_answers(site: Site, draw: Draw) -> Planted:
    """A source answers a share of the requests with a part of what it should, and reports it."""
    name, share = draw.some(site.named(Role.SOURCE)), draw.between(0.4, 1.0)
    most = draw.whole(0, 5)
    return broken(
        site, name, lambda stage: sources.degraded(stage, most, share, draw.seed),
        detail=f"{share:.0%} of requests get {most}",
    )  # fmt: skip


@kind("serving", "SOURCE_INTERMITTENT", "SOURCE_EMPTY")
def errors_swallowed(site: Site, draw: Draw) -> Planted:
    """A source that fails inside answers nothing on half of the calls, and tells nobody."""
    name, share = draw.some(site.named(Role.SOURCE)), draw.between(0.4, 0.7)
    return broken(
        site, name,
        lambda stage: sources.part_of_calls(stage, sources.dead(stage), share, draw.seed),
        detail=f"{share:.0%} of calls",
    )  # fmt: skip


@kind("serving", "STALE_SNAPSHOT", "RULE_REMOVES_LESS", "RULE_REMOVES_MORE")
def stale_snapshot(site: Site, draw: Draw) -> Planted:
    """The process still reads an older version of a live value."""
    for node in site.pipeline:
        for option, value in vars(node.stage).items():
            if isinstance(value, Live) and value.pin()[0] > 1 and isinstance(value.pin()[1], np.ndarray):
                now = value.pin()[1]
                toggled = np.random.default_rng(draw.seed).random(len(now)) < draw.between(0.05, 0.2)
                old = Live(np.where(toggled, np.where(now > 0, 0, 1), now), name=value.name)
                stage = stages.with_attributes(node.stage, **{option: old})
                return Planted(site.pipeline.replace(node.name, stage), ("", node.name), detail=value.name)
    raise ConfigurationError("found no live value that has changed; expected one, such as the stock")


@kind("serving", "VERSIONS_MIXED", "INDEX_SHUFFLED", "SOURCE_CHANGED")
def index_half_swapped(site: Site, draw: Draw) -> Planted:
    """A part of the vectors in an index is of another training than the rest."""
    name = draw.some(site.those(Role.SOURCE, sources.has_vectors), "source with vectors")
    items = draw.subset(np.arange(1, site.n_items + 1), draw.between(0.4, 0.6))
    return broken(site, name, lambda stage: sources.turned(stage, items, draw.seed))


@kind("serving", "VERSIONS_MIXED", "STALE_INDEX", "STALE_FEATURES", alone=True)
def swap_half_done(site: Site, draw: Draw) -> Planted:
    """A swap has replaced half of the stages: the others are of the version of weeks ago."""
    learned = [name for name in site.named(Role.SOURCE) if site.learns(name)]
    names = [str(name) for name in draw.subset(np.array(learned), 0.5)] if learned else []
    draw.some(names, "source that learns")
    pipeline = site.pipeline
    for name in [*names, *site.named(Role.FEATURIZER)[:1]]:
        pipeline = pipeline.replace(name, stages.stale(site.pipeline[name], site.older))
    return Planted(pipeline, ("", *names, *site.named(Role.FEATURIZER)[:1]), detail=", ".join(names))
