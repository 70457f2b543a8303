"""recokit: recommender components for production.

The parts stand in their modules (``candidates``, ``features``, ``stores``, ``rankers``, ``rules``, ``diversity``,
``exploration``, ``metrics``, ``debugger``, ``checklist``, ``datasets``, ``testing``); what joins them stands here.
Everything loads when it is first used: ``import recokit`` loads the standard library only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recokit import (
        candidates,
        checklist,
        datasets,
        debugger,
        diversity,
        errors,
        exploration,
        features,
        metrics,
        monitoring,
        off_policy,
        rankers,
        rules,
        stores,
        testing,
    )
    from recokit.data import Candidates, Cap, Dataset, Live, LiveEvents, Pin, Requests, Retrieved, validate
    from recokit.data.requests import Hydrated
    from recokit.debugger import RecommendationDebugger
    from recokit.evaluation.evaluate import evaluate
    from recokit.pipeline import Pipeline, Step
    from recokit.preflight.preflight import preflight
    from recokit.result import Recommendations

__version__ = "0.1.0.dev0"

__all__ = [
    "Candidates",
    "Cap",
    "Dataset",
    "Hydrated",
    "Live",
    "LiveEvents",
    "Pin",
    "Pipeline",
    "RecommendationDebugger",
    "Recommendations",
    "Requests",
    "Retrieved",
    "Step",
    "__version__",
    "candidates",
    "checklist",
    "datasets",
    "debugger",
    "diversity",
    "errors",
    "evaluate",
    "exploration",
    "features",
    "metrics",
    "monitoring",
    "off_policy",
    "preflight",
    "rankers",
    "rules",
    "stores",
    "testing",
    "validate",
]

_HOME = {
    "Candidates": "recokit.data",
    "Cap": "recokit.data",
    "Dataset": "recokit.data",
    "Hydrated": "recokit.protocols",
    "Live": "recokit.data",
    "LiveEvents": "recokit.data",
    "Pin": "recokit.data",
    "Pipeline": "recokit.pipeline",
    "RecommendationDebugger": "recokit.debugger",
    "Recommendations": "recokit.result",
    "Requests": "recokit.data",
    "Retrieved": "recokit.data",
    "Step": "recokit.pipeline",
    "evaluate": "recokit.evaluation",
    "preflight": "recokit.preflight",
    "validate": "recokit.data",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in __all__:
        return importlib.import_module(f"recokit.{name}")
    raise AttributeError(f"module 'recokit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
