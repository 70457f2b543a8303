"""Public names that moved in this release: the old ones work, and warn, until the next.

An entry goes when its release is out; what an old saved model calls its classes lies in ``data/state/renamed``.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "moved_from", "stand_in"]


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
        "AsOf EventIndex KeyedEvents Keyspace Known Moments",
    ),
    **_names("recokit.data.state", "recokit.data", "from_state load_state save_state to_state"),
    **_names("recokit.data.validation", "recokit.data", "ValidationLimits ValidationReport validate"),
    **_names("recokit.monitoring.alerts", "recokit.monitoring", "Alert AlertRule Alerts Reading"),
    **_names("recokit.monitoring.drift", "recokit.monitoring", "DriftLimits DriftMonitor DriftReport"),
    **_names("recokit.monitoring.feature_log", "recokit.monitoring", "FeatureLog"),
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
        warnings.warn(
            f"{old} has moved; write {MOVED[old]} (the old name goes in the next release)",
            DeprecationWarning,
            stacklevel=frames,
        )
        return value

    return get


def stand_in(module: str) -> None:
    """Let ``from module import name`` go on working for a module that is no more."""
    old = ModuleType(module, f"{module} has moved; see :data:`recokit._moved.MOVED`.")
    old.__dict__["__getattr__"] = moved_from(module)
    sys.modules.setdefault(module, old)
