"""Kinds that hit some users or requests only: segments, combinations, and users without a history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recokit.data import Requests
from recokit.protocols import Role
from recokit.testing.faults import features, scorers, sources
from recokit.testing.faults.catalogue import Planted, broken_for, kind
from recokit.testing.faults.site import Draw, Site
from recokit.typing import BoolArray

Hit = tuple[str, Callable[[Requests], BoolArray]]


def _some_fault(site: Site, draw: Draw, segment: Hit) -> Planted:
    """Plant one of four faults for a segment."""
    seed, names = draw.seed, site.feature_names(draw, 6)
    personal = [
        name for name in site.named(Role.SOURCE) if "history" in getattr(site.pipeline[name], "requires", ())
    ]
    options: list[tuple[str, Callable[[Any], Any], tuple[str, ...]]] = [
        (site.ranker, lambda stage: scorers.nan_scores(stage, 0.5, seed), ("SCORES_NOT_FINITE",)),
        (site.ranker, scorers.inverted, ("RANKING_INVERTED",)),
        (
            site.features,
            lambda block: features.dropped(block, names),
            ("FEATURES_LOST", "FEATURE_QUALITY_ISSUE"),
        ),
        *((name, sources.dead, ("SOURCE_EMPTY",)) for name in personal[:1]),
    ]
    name, change, codes = draw.some(options)
    return broken_for(site, name, change, segment, codes=codes)


@kind("segments", "SCORES_NOT_FINITE", "RANKING_INVERTED", "FEATURES_LOST", "SOURCE_EMPTY")
def one_segment(site: Site, draw: Draw) -> Planted:
    """Something is wrong for one segment of the users or requests only."""
    return _some_fault(site, draw, site.segment(draw))


@kind("segments", "SCORES_NOT_FINITE", "RANKING_INVERTED", "FEATURES_LOST", "SOURCE_EMPTY")
def two_segments_together(site: Site, draw: Draw) -> Planted:
    """Something is wrong only where two segments meet, such as one country on one device."""
    one = site.segment(draw)
    column = one[0].partition("=")[0]
    for _ in range(100):
        other = site.segment(draw)
        if other[0].partition("=")[0] != column:
            break
    else:
        draw.some((), "second segment of another column")
    names = sorted((one[0], other[0]))
    hit: Hit = (" and ".join(names), lambda requests: np.asarray(one[1](requests) & other[1](requests)))
    return _some_fault(site, draw, hit)


@kind("segments", "SCORES_NOT_FINITE", "RANKING_DIFFERENTIATION_FAILURE", alone=True)
def only_new_users(site: Site, draw: Draw) -> Planted:
    """Something is wrong for users without a history only."""
    seed = draw.seed
    change, codes = draw.some(
        (
            (lambda stage: scorers.nan_scores(stage, 0.6, seed), ("SCORES_NOT_FINITE",)),
            (scorers.flat, ("RANKING_DIFFERENTIATION_FAILURE",)),
        )
    )
    hit: Hit = ("history=new", lambda requests: np.asarray(requests.user == 0))
    return broken_for(site, site.ranker, change, hit, codes=codes)
