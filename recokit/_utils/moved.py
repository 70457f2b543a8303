"""Names that moved in this release: what the last one called things goes on working until the next.

``MOVED`` has the public names, each use of which warns; ``SAVED_MODULES`` and the tables after it have the names of
classes and attributes in models that the last release saved, which load without a word.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def _names(old: str, new: str, names: str) -> dict[str, str]:
    return {f"{old}.{name}": f"{new}.{name}" for name in names.split()}


#: The public name to write now, by the dotted name it had.
MOVED = {
    "recokit.checklist": "recokit.preflight",
    **_names("recokit.checklist", "recokit.preflight", "CHECKLIST PreflightLimits PreflightReport preflight"),
    **_names(
        "recokit.training",
        "recokit.debias",
        "Clicks ImpressionLog ImpressionReport ImpressionSet PositionBias PositionModel UnbiasedSet WeightReport "
        "doubly_robust impression_rows intervention_harvest inverse_propensity propensity_from_swaps",
    ),
    **_names(
        "recokit.training",
        "recokit.tuning",
        "PopularityFront SearchResult Trial popularity_front search",
    ),
    "recokit.metrics.Judged": "recokit.metrics.MatchedLists",
    **_names("recokit.compose", "recokit.candidates", "FirstOf Merge"),
    **_names("recokit.compose", "recokit.compose.composed", "Composed"),
    **_names(
        "recokit.compose", "recokit.compose.fusion", "check_retrieved first_allowed fuse retrieve_allowed"
    ),
    **_names("recokit.compose", "recokit.compose.merge", "leaves"),
    **_names("recokit.compose", "recokit.compose.step", "leaf_name snake_case"),
    **_names("recokit.candidates.ann", "recokit.candidates", "AnnIndex"),
    **_names(
        "recokit.data.events",
        "recokit.data.events.index",
        "EventIndex KeyedEvents Keyspace Known",
    ),
    "recokit.data.events.AsOf": "recokit.data.events.keyed.AsOf",
    "recokit.data.events.Moments": "recokit.data.events.index.QueryTimes",
    **_names("recokit.data.state", "recokit.data", "from_state load_state save_state to_state"),
    **_names("recokit.data.validation", "recokit.data", "ValidationLimits ValidationReport validate"),
    "recokit.debugger.Watch": "recokit.debugger.TrafficSample",
    "recokit.debugger.localise": "recokit.debugger.find_segment",
    **_names("recokit.monitoring.alerts", "recokit.monitoring", "Alert AlertRule Alerts Reading"),
    **_names("recokit.monitoring.drift", "recokit.monitoring", "DriftLimits DriftMonitor DriftReport"),
    **_names("recokit.monitoring.feature_log", "recokit.monitoring", "FeatureLog"),
    "recokit.monitoring.Metric": "recokit.monitoring.MetricSpec",
    "recokit.monitoring.Tally": "recokit.monitoring.Counters",
}


def moved_from(package: str, frames: int = 2) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package: a name that moved warns and is what it is called now.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    frames : int, default=2
        How many calls up the line lies that the warning names; 3 where another ``__getattr__`` calls this one.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as heard:
    ...     warnings.simplefilter("always")
    ...     search = moved_from("recokit.training")("search")
    >>> print(search.__module__, heard[0].message, sep="; ")
    recokit.tuning.search; recokit.training.search has moved; write recokit.tuning.search (the old name goes in the
    next release)
    """

    def get(name: str) -> Any:
        old = f"{package}.{name}"
        if old not in MOVED:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, _, attribute = MOVED[old].rpartition(".")
        value = getattr(importlib.import_module(home), attribute)
        _warn(old, MOVED[old], frames + 1)
        return value

    return get


def _warn(old: str, new: str, frames: int) -> None:
    message = f"{old} has moved; write {new} (the old name goes in the next release)"
    warnings.warn(message, DeprecationWarning, stacklevel=frames)


def stand_in(module: str) -> None:
    """Let ``from module import name`` go on working for a module that is no more."""
    old = ModuleType(module, f"{module} has moved; see :data:`recokit._utils.moved.MOVED`.")
    old.__dict__["__getattr__"] = moved_from(module)
    sys.modules.setdefault(module, old)


class moved_attribute:
    """An attribute or method under its old name.

    Parameters
    ----------
    new : str
        The name that it has now.
    """

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            _warn(f"{owner.__name__}.{self.old}", f"{owner.__name__}.{self.new}", 3)
        return getattr(owner if instance is None else instance, self.new)


def renamed(**names: str) -> Callable[[Function], Function]:
    """Return a decorator of functions whose keyword arguments have new names: the old ones warn.

    Examples
    --------
    >>> import warnings
    >>> find = renamed(least="min_users")(lambda *, min_users: min_users)
    >>> with warnings.catch_warnings(record=True) as heard:
    ...     warnings.simplefilter("always")
    ...     print(find(least=5), heard[0].message)
    5 least= is called min_users= now (the old name goes in the next release)
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old in names.keys() & options if options else ():
                warnings.warn(
                    f"{old}= is called {names[old]}= now (the old name goes in the next release)",
                    DeprecationWarning,
                    stacklevel=2,
                )
                options[names[old]] = options.pop(old)
            return function(*args, **options)

        decorated: Any = call
        return decorated  # type: ignore[no-any-return]

    return decorate


#: The module, below recokit, of the classes that lay in another one when the last release saved them.
SAVED_MODULES = {
    "_torch": "_neural.training",
    "candidates._ann_figures": "candidates.ann._quality",
    "candidates._ann_live": "candidates.ann._snapshot",
    "candidates._figures": "candidates.source_report",
    "candidates._sequences": "candidates.neural._sequences",
    "candidates._text": "candidates.content",
    "candidates._towers": "candidates.neural._towers",
    "candidates.ann": "candidates.ann.index",
    "candidates.sasrec": "candidates.neural.sasrec",
    "candidates.two_tower": "candidates.neural.two_tower",
    "checklist.limits": "preflight.limits",
    "checklist.report": "preflight.report",
    "data.checks": "data.validation.report",
    "data.events": "data.events.index",
    "data.history": "data.events.user_history",
    "data.hydrated": "data.requests",
    "data.keyed_events": "data.events.keyed",
    "data.layered": "data.events.layered",
    "data.live_events": "data.events.live_events",
    "data.ranking": "data.ranking_data",
    "debugger.pairs": "debugger.evidence",
    "debugger.localise": "debugger.segments",
    "evaluation.evaluations": "evaluation.comparison",
    "evaluation.intervals": "_stats.intervals",
    "metrics.beyond": "metrics.diversity",
    "metrics.judged": "metrics.matched_lists",
    "monitoring._clusters": "monitoring.drift._clusters",
    "monitoring._drift_tests": "monitoring.drift._tests",
    "monitoring._tally": "monitoring.counters",
    "monitoring.alerts": "monitoring.alerts.alerts",
    "monitoring.catalog": "monitoring.lists",
    "monitoring.drift": "monitoring.drift.monitor",
    "monitoring.feature_log": "monitoring.feature_log.log",
    "monitoring.logged": "monitoring.feature_log.requests",
    "monitoring.profile": "monitoring.drift.profile",
    "monitoring.rules": "monitoring.alerts.rules",
    "monitoring.sketch": "_stats.quantile_sketch",
    "monitoring.skew": "monitoring.drift.skew",
    "pipeline.nested": "pipeline.views",
    "pipeline.step": "compose.step",
    "rankers._forest": "_kernels.forest",
    "rankers._transform": "rankers._scaling",
    "rankers.sweep": "rankers.weight_sweep",
    "rules.report": "rules.rule_report",
    "training._ranks": "_stats.ranks",
    "training.impressions": "debias.impressions",
    "training.popularity_front": "tuning.popularity_front",
    "training.position_bias": "debias.position_bias",
    "training.propensity": "debias.propensity",
    "training.search_result": "tuning.result",
    "training.unbiased": "debias.reweight",
}
#: The class, below recokit, that a saved one is now, where it is not the one of its name in the module's new place.
SAVED_CLASSES = {
    "compose:FirstOf": "compose.first_of:FirstOf",
    "compose:Merge": "compose.merge:Merge",
    "data.presence:Presence": "data.events.distinct:DistinctCounts",
    "data.presence:Spans": "data.events.distinct:ActiveIntervals",
    "data.presence:Steps": "data.events.distinct:StepCounts",
    "data.tail:RawEvents": "data.events.recent:RawEvents",
    "data.tail:Tail": "data.events.recent:RecentEvents",
    "data.validation:ValidationLimits": "data.validation.limits:ValidationLimits",
    "data.validation:ValidationReport": "data.validation.training_data:ValidationReport",
    "monitoring._tally:Tally": "monitoring.counters:Counters",
    "rankers._levels:Levels": "rankers._embeddings:EmbeddingIndex",
    "training.impressions:ImpressionLog": "data.impressions:ImpressionLog",
}


def saved_class(path: str) -> str:
    """Return the path that a class of a saved state has now.

    Examples
    --------
    >>> saved_class("recokit.data.history:UserHistory"), saved_class("recokit.rules.stock:InStock")
    ('recokit.data.events.user_history:UserHistory', 'recokit.rules.stock:InStock')
    """
    below = path.removeprefix("recokit.")
    module, _, name = below.partition(":")
    now = SAVED_CLASSES.get(below, f"{SAVED_MODULES.get(module, module)}:{name}")
    return path if below == path else f"recokit.{now}"


#: The names that attributes and options have now, by the class, below recokit, as it is called now.
SAVED_NAMES: Mapping[str, Mapping[str, str]] = {
    "data.events.distinct:DistinctCounts": {"spans": "intervals"},
    "data.events.keyed:KeyedEvents": {"presence": "distinct_counts"},
    "data.events.user_history:UserHistory": {"tail": "live_events"},
    "data.requests:Requests": {"given": "from_caller", "degraded": "report_degraded"},
    "features.assemble:Assemble": {"tail": "live_events"},
    "features.standard:Standard": {"tail": "live_events"},
    "rules.frequency:FrequencyCap": {"tail": "live_events"},
}


def saved_names(path: str) -> Mapping[str, str]:
    """Return the old names of attributes and options of a class, by its path now, and those they have now."""
    return SAVED_NAMES.get(path.removeprefix("recokit."), {})
