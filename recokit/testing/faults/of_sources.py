"""Kinds of sources and of the funnel: indexes and answers, and limits that cut what is good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError
from recokit.protocols import Role, traits_of
from recokit.testing.faults import sources, stages
from recokit.testing.faults.catalogue import Planted, broken, kind
from recokit.testing.faults.site import Draw, Site


def _indexed(site: Site, draw: Draw) -> str:
    return draw.some(_personal(site, site.those(Role.SOURCE, sources.has_index)), "source with an index")


def _with_vectors(site: Site, draw: Draw) -> str:
    return draw.some(site.those(Role.SOURCE, sources.has_vectors), "source with vectors")


def _personal(site: Site, names: list[str]) -> list[str]:
    return [name for name in names if "history" in traits_of(site.pipeline[name]).requires]


@kind("sources", "STALE_INDEX", alone=True)
def stale_index(site: Site, draw: Draw) -> Planted:
    """A source has not been fitted for weeks, and says so."""
    name = draw.some([name for name in site.named(Role.SOURCE) if site.learns(name)], "source that learns")
    return broken(site, name, lambda stage: stages.stale(stage, site.older))


@kind("sources", "INDEX_TRUNCATED")
def truncated_index(site: Site, draw: Draw) -> Planted:
    """An index lacks a part of the items: a build that ended early."""
    share = draw.between(0.25, 0.7)
    lost = draw.subset(np.arange(1, site.n_items + 1), share)
    return broken(
        site, _indexed(site, draw), lambda stage: sources.truncated(stage, lost), detail=f"{share:.0%}"
    )


@kind("sources", "INDEX_SHUFFLED")
def shuffled_ids(site: Site, draw: Draw) -> Planted:
    """The entries of an index belong to other items: the id map of another build."""
    return broken(site, _indexed(site, draw), lambda stage: sources.shuffled(stage, draw.seed))


@kind("sources", "EMBEDDING_NOT_FINITE", alone=True)
def nan_embeddings(site: Site, draw: Draw) -> Planted:
    """A share of the vectors has values that are NaN."""
    share = draw.between(0.05, 0.9)
    return broken(
        site,
        _with_vectors(site, draw),
        lambda stage: sources.nan_vectors(stage, share, draw.seed),
        detail=f"{share:.0%}",
    )


@kind("sources", "EMBEDDING_COLLAPSED", alone=True)
def collapsed_embeddings(site: Site, draw: Draw) -> Planted:
    """All vectors point nearly one way, so the source finds the same for everyone."""
    noise = draw.between(0.0, 0.02)
    return broken(
        site, _with_vectors(site, draw), lambda stage: sources.collapsed(stage, draw.seed, noise),
        detail=f"noise {noise:.3f}",
    )  # fmt: skip


@kind("sources", "EMBEDDING_SCALED", "SOURCE_CHANGED", "PERSONALIZATION_LOST")
def embeddings_scaled(site: Site, draw: Draw) -> Planted:
    """Some vectors are many times too long and win every inner product."""
    items = draw.subset(np.arange(1, site.n_items + 1), draw.between(0.05, 0.15))
    factor = 10.0 ** draw.between(1.0, 3.0)
    return broken(
        site, _with_vectors(site, draw), lambda stage: sources.enlarged(stage, items, factor),
        detail=f"{len(items)} by {factor:.0f}",
    )  # fmt: skip


@kind("sources", "INDEX_INVERTED", "INDEX_SHUFFLED", "SOURCE_CHANGED")
def similarity_inverted(site: Site, draw: Draw) -> Planted:
    """A distance is taken for a similarity: the source finds what is least like the history."""
    return broken(site, _indexed(site, draw), sources.negated)


@kind("sources", "SOURCE_EMPTY", alone=True)
def source_dead(site: Site, draw: Draw) -> Planted:
    """A source finds nothing, and does not fail."""
    name = draw.some(site.named(Role.SOURCE), "source")
    return broken(site, name, sources.dead)


@kind("sources", "SOURCE_FLOODS")
def source_floods(site: Site, draw: Draw) -> Planted:
    """A source fills its answers up with random items and takes the places of others."""
    name = draw.some(_personal(site, site.named(Role.SOURCE)), "source by history")
    return broken(site, name, lambda stage: sources.flooding(stage, site.n_items, draw.seed))


@kind("sources", "PERSONALIZATION_LOST", "SOURCE_CHANGED", alone=True)
def one_answer_for_all(site: Site, draw: Draw) -> Planted:
    """A source gives everyone the answer for one user: a cache whose key lacks the user."""
    name = draw.some(_personal(site, site.named(Role.SOURCE)), "source by history")
    user = site.hydrated.take(np.array([draw.whole(0, len(site.hydrated) - 1)]))
    return broken(site, name, lambda stage: sources.one_answer(stage, user))


@kind("sources", "LISTS_STALE", "SOURCE_FROZEN", "SOURCE_CHANGED")
def answers_from_a_cache(site: Site, draw: Draw) -> Planted:
    """A source answers from a cache that was filled weeks ago, with the history of then."""
    names = [name for name in _personal(site, site.named(Role.SOURCE)) if site.learns(name)]
    name = draw.some(names, "source by history that learns")
    hydrator = site.pipeline[site.history]

    def cached(stage: Any) -> Any:
        old, until = stages.stale(stage, site.older), site.older.until

        def change(call: Callable[..., Any], requests: Any, limit: int) -> Any:
            then = replace(requests, now=np.full(len(requests), until))
            lists = hydrator.hydrate(then).ragged
            then = replace(then, ragged={**then.ragged, "history": lists["history"]})
            return old.retrieve(then, limit)

        return stages.changed(stage, change)

    return broken(site, name, cached)


@kind("sources", "FUNNEL_CUT", alone=True)
def limit_of_source(site: Site, draw: Draw) -> Planted:
    """A limit left over from a test ends a source's answers after a few items."""
    most = draw.whole(1, 5)
    name = draw.some(_personal(site, site.named(Role.SOURCE)), "source by history")
    return broken(site, name, lambda stage: sources.shortened(stage, most), detail=f"{most}")


@kind("sources", "FUNNEL_CUT", alone=True)
def limit_of_merge(site: Site, draw: Draw) -> Planted:
    """The fusion of the sources keeps so few candidates that what is good is cut before it is ranked."""
    limit = draw.whole(10, 20)
    plan = site.pipeline._current
    if len(plan.sources) < 2 or plan.merge.limit <= 2 * limit:
        raise ConfigurationError("found no fusion of sources to limit; expected a Merge with a larger limit")
    merge = stages.with_attributes(plan.merge, limit=limit)
    pipeline = site.pipeline._derived(replace(plan, merge=merge))
    return Planted(pipeline, (site.fusion, ""), detail=f"{limit}")


@kind("sources", "FALLBACK_CARRIES", "FALLBACK_SERVED", "CANDIDATE_GENERATION_FAILURE", alone=True)
def all_sources_dead(site: Site, draw: Draw) -> Planted:
    """No source finds anything, and the fallback carries the lists."""
    pipeline = site.pipeline
    for name in site.named(Role.SOURCE):
        pipeline = pipeline.replace(name, sources.dead(site.pipeline[name]))
    return Planted(pipeline, ("", site.fusion, *site.named(Role.SOURCE)))
