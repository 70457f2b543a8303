"""Kinds of features: lost, moved, of another unit, column, row or user."""

from __future__ import annotations

import numpy as np

from recokit.protocols import Role
from recokit.testing.faults import features, stages
from recokit.testing.faults.catalogue import Planted, broken, broken_for, kind
from recokit.testing.faults.of_hydration import others
from recokit.testing.faults.site import Draw, Site


@kind("features", "FEATURES_LOST", "FEATURE_QUALITY_ISSUE")
def features_dropped(site: Site, draw: Draw) -> Planted:
    """Some features are missing for everyone."""
    names = site.feature_names(draw, draw.whole(2, 11))
    return broken(site, site.features, lambda block: features.dropped(block, names), detail=", ".join(names))


@kind("features", "FEATURE_QUALITY_ISSUE", "FEATURES_LOST", alone=True)
def feature_store_empty(site: Site, draw: Draw) -> Planted:
    """Nearly all features are missing: the store answers nothing."""
    names = [str(name) for name in draw.subset(np.array(list(site.values)), draw.between(0.8, 1.0))]
    return broken(site, site.features, lambda block: features.dropped(block, names), detail=f"{len(names)}")


@kind("features", "STALE_FEATURES", alone=True)
def features_stale(site: Site, draw: Draw) -> Planted:
    """The features know the events of weeks ago, and say so."""
    return broken(site, site.features, lambda block: stages.stale(block, site.older))


@kind("features", "FEATURES_SWAPPED")
def features_swapped(site: Site, draw: Draw) -> Planted:
    """Two features have each other's values."""
    one, other = draw_two(site, draw)
    return broken(
        site, site.features, lambda block: features.swapped(block, one, other), detail=f"{one}, {other}"
    )


def draw_two(site: Site, draw: Draw) -> list[str]:
    """Draw two features that vary."""
    names = site.feature_names(draw, 2, mode=0.5)
    draw.some(names[1:], "second feature that varies")
    return names


@kind("features", "FEATURES_SCALED")
def features_in_other_unit(site: Site, draw: Draw) -> Planted:
    """Features are in another unit: cents, minutes, milliseconds."""
    names = site.feature_names(draw, draw.whole(1, 3))
    factor = draw.some((24.0, 60.0, 100.0, 1_000.0, 3_600.0)) ** draw.some((-1.0, 1.0))
    return broken(
        site, site.features, lambda block: features.scaled(block, names, factor),
        detail=f"{', '.join(names)} by {factor:g}",
    )  # fmt: skip


@kind("features", "FEATURES_DRIFTED")
def features_drifted(site: Site, draw: Draw) -> Planted:
    """Features have moved by several standard deviations."""
    names = site.feature_names(draw, draw.whole(1, 3))
    shift = [draw.some((-1, 1)) * draw.between(3.0, 8.0) * spread for spread in site.spread(names)]
    return broken(
        site, site.features, lambda block: features.drifted(block, names, shift), detail=", ".join(names)
    )


@kind("features", "FEATURES_DEFAULTED")
def features_defaulted(site: Site, draw: Draw) -> Planted:
    """A default stands where values are missing upstream."""
    names = site.feature_names(draw, draw.whole(1, 3), mode=0.5)
    value, share = draw.some((0.0, -1.0)), draw.between(0.5, 1.0)
    return broken(
        site, site.features,
        lambda block: features.defaulted(block, names, value, share=share, seed=draw.seed),
        detail=f"{', '.join(names)} {share:.0%} {value}",
    )  # fmt: skip


@kind("features", "FEATURES_OF_ANOTHER", alone=False)
def user_features_of_another(site: Site, draw: Draw) -> Planted:
    """The features of users are those of others: joined with the wrong key."""
    names = site.by_user
    draw.some(names, "feature of users")
    other = others(site, draw)
    return broken(
        site, site.features, lambda block: features.of_user(block, names, other), detail=", ".join(names[:5])
    )


@kind("features", "FEATURES_OF_ANOTHER")
def features_of_next_row(site: Site, draw: Draw) -> Planted:
    """The features of each candidate are those of another one in the batch: rows have slipped."""
    names, by = [name for name in site.values if name not in site.by_user], draw.whole(1, 5)
    return broken(
        site, site.features, lambda block: features.rows_shifted(block, names, by), detail=f"by {by}"
    )


@kind("features", "FEATURES_CLIPPED", "FEATURES_DEFAULTED")
def features_clipped(site: Site, draw: Draw) -> Planted:
    """Features never exceed a value that half of them used to exceed: a counter that is too narrow."""
    names = site.feature_names(draw, draw.whole(1, 4), mode=0.5)
    at = [float(np.quantile(site.values[name], draw.between(0.2, 0.5))) for name in names]
    return broken(
        site, site.features, lambda block: features.clipped(block, names, at), detail=", ".join(names)
    )


@kind("features", "FEATURES_NOISY", "FEATURES_DRIFTED", "FEATURES_SKEWED")
def features_noisy(site: Site, draw: Draw) -> Planted:
    """Features are right on average, with an error by item: a sketch or a hash that is too small."""
    names = site.feature_names(draw, draw.whole(2, 5))
    spread = [draw.between(2.0, 4.0) * one for one in site.spread(names)]
    return broken(
        site, site.features, lambda block: features.noisy(block, names, spread, draw.seed),
        detail=", ".join(names),
    )  # fmt: skip


@kind("features", "FEATURES_LOST", "FEATURE_QUALITY_ISSUE")
def features_lost_for_segment(site: Site, draw: Draw) -> Planted:
    """Features are missing for one segment of the users or requests."""
    names = site.feature_names(draw, 6)
    return broken_for(site, site.features, lambda block: features.dropped(block, names), site.segment(draw))


@kind("features", "STAGE_FAILED", alone=True)
def features_fail(site: Site, draw: Draw) -> Planted:
    """What computes features fails on a share of the requests."""
    share = draw.between(0.3, 1.0)
    name = draw.some(site.named(Role.FEATURIZER))
    return broken(
        site, name, lambda block: stages.raising(block, share, draw.seed, KeyError("no such row")),
        detail=f"{share:.0%}",
    )  # fmt: skip
