"""Faults: copies of fitted stages with something wrong inside, for tests of debuggers, monitors and alerts.

A fault changes what a fitted stage has learned or, where there is nothing to change, what it answers. The copy has the
class name, options and verbs of the original and nothing that tells it apart, so whatever finds the fault has found it
by its effects. Put it into a pipeline with ``pipeline.replace(name, faulty)``.

:data:`CATALOGUE` has kinds of faults as they happen to pipelines, by name: each plants itself at a random place, with a
random magnitude, and says which stage and which causes a debugger should name. :func:`plant` plants one::

    site = faults.Site(pipeline, data)
    planted = faults.plant("history_of_another", site, seed=1)
    debugger = rk.RecommendationDebugger(planted.pipeline, baseline=pipeline)

Of which the parts, one by one:

==============  ==================================================================================================
stages          faults
==============  ==================================================================================================
hydrators       :func:`emptied`, :func:`newest`, :func:`oldest`, :func:`late`, :func:`repeated`, :func:`of_items`
sources         :func:`truncated`, :func:`shuffled`, :func:`shifted`, :func:`nan_vectors`, :func:`collapsed`,
                :func:`enlarged`, :func:`turned`, :func:`negated`, :func:`dead`, :func:`flooding`,
                :func:`shortened`, :func:`delisted`, :func:`one_answer`, :func:`part_of_calls`, :func:`degraded`
featurizers     :func:`dropped`, :func:`swapped`, :func:`scaled`, :func:`drifted`, :func:`defaulted`,
                :func:`rows_shifted`, :func:`clipped`, :func:`of_user`, :func:`noisy`
scorers         :func:`flat`, :func:`inverted`, :func:`nan_scores`, :func:`columns_mixed_up`, :func:`half_loaded`,
                :func:`in_half_precision`, :func:`exponential`, :func:`saturated`, :func:`by_feature`
filters         :func:`removing`, :func:`passing`, :func:`passing_for`, :func:`turned_round`
any             :func:`stale`, :func:`with_option`, :func:`as_of`, :func:`for_users`, :func:`delayed`,
                :func:`slow_for`, :func:`retrying`, :func:`raising`, :func:`only_for`
==============  ==================================================================================================
"""

from recokit.testing.faults import (  # noqa: F401  the catalogue fills itself
    of_data,
    of_features,
    of_hydration,
    of_ranker,
    of_rules,
    of_segments,
    of_selection,
    of_serving,
    of_sources,
    of_time,
)  # isort: skip
from recokit.testing.faults.catalogue import CATALOGUE, FAMILIES, Kind, Planted, applicable, plant
from recokit.testing.faults.features import (
    clipped,
    defaulted,
    drifted,
    dropped,
    noisy,
    of_user,
    rows_shifted,
    scaled,
    swapped,
)
from recokit.testing.faults.hydration import emptied, late, newest, of_items, oldest, repeated
from recokit.testing.faults.rules import passing, passing_for, removing, turned_round
from recokit.testing.faults.scorers import (
    by_feature,
    columns_mixed_up,
    exponential,
    flat,
    half_loaded,
    in_half_precision,
    inverted,
    nan_scores,
    saturated,
)
from recokit.testing.faults.site import Draw, Site
from recokit.testing.faults.sources import (
    collapsed,
    dead,
    degraded,
    delisted,
    enlarged,
    flooding,
    nan_vectors,
    negated,
    one_answer,
    part_of_calls,
    shifted,
    shortened,
    shuffled,
    truncated,
    turned,
)
from recokit.testing.faults.stages import (
    answering,
    as_of,
    changed,
    delayed,
    for_users,
    only_for,
    raising,
    retrying,
    slow_for,
    stale,
    with_attributes,
    with_option,
)

__all__ = [
    "CATALOGUE",
    "FAMILIES",
    "Draw",
    "Kind",
    "Planted",
    "Site",
    "answering",
    "applicable",
    "as_of",
    "by_feature",
    "changed",
    "clipped",
    "collapsed",
    "columns_mixed_up",
    "dead",
    "defaulted",
    "degraded",
    "delayed",
    "delisted",
    "drifted",
    "dropped",
    "emptied",
    "enlarged",
    "exponential",
    "flat",
    "flooding",
    "for_users",
    "half_loaded",
    "in_half_precision",
    "inverted",
    "late",
    "nan_scores",
    "nan_vectors",
    "negated",
    "newest",
    "noisy",
    "of_items",
    "of_user",
    "oldest",
    "one_answer",
    "only_for",
    "part_of_calls",
    "passing",
    "passing_for",
    "plant",
    "raising",
    "removing",
    "repeated",
    "retrying",
    "rows_shifted",
    "saturated",
    "scaled",
    "shifted",
    "shortened",
    "shuffled",
    "slow_for",
    "stale",
    "swapped",
    "truncated",
    "turned",
    "turned_round",
    "with_attributes",
    "with_option",
]
