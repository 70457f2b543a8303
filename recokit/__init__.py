"""recokit: recommender components for production.

The parts stand in their modules (``candidates``, ``features``, ``stores``, ``rankers``, ``rules``, ``diversity``,
``exploration``, ``metrics``, ``debugger``, ``datasets``, ``testing``); what joins them stands here. Everything loads
when it is first used: ``import recokit`` loads the standard library only.
"""

from typing import TYPE_CHECKING

from recokit._moved import stand_in
from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit import (
        candidates as candidates,
    )
    from recokit import (
        data as data,
    )
    from recokit import (
        datasets as datasets,
    )
    from recokit import (
        debias as debias,
    )
    from recokit import (
        debugger as debugger,
    )
    from recokit import (
        diversity as diversity,
    )
    from recokit import (
        errors as errors,
    )
    from recokit import (
        evaluation as evaluation,
    )
    from recokit import (
        exploration as exploration,
    )
    from recokit import (
        features as features,
    )
    from recokit import (
        metrics as metrics,
    )
    from recokit import (
        monitoring as monitoring,
    )
    from recokit import (
        off_policy as off_policy,
    )
    from recokit import (
        rankers as rankers,
    )
    from recokit import (
        rules as rules,
    )
    from recokit import (
        stores as stores,
    )
    from recokit import (
        testing as testing,
    )
    from recokit import (
        training as training,
    )
    from recokit import (
        tuning as tuning,
    )
    from recokit.data.candidates import Candidates as Candidates
    from recokit.data.candidates import Retrieved as Retrieved
    from recokit.data.dataset import Dataset as Dataset
    from recokit.data.events.live_events import LiveEvents as LiveEvents
    from recokit.data.limits import Cap as Cap
    from recokit.data.limits import Pin as Pin
    from recokit.data.live import Live as Live
    from recokit.data.requests import Hydrated as Hydrated
    from recokit.data.requests import Requests as Requests
    from recokit.data.validation.training_data import validate as validate
    from recokit.debugger import RecommendationDebugger as RecommendationDebugger
    from recokit.evaluation.evaluate import evaluate as evaluate
    from recokit.pipeline import Pipeline as Pipeline
    from recokit.pipeline import Step as Step
    from recokit.preflight.preflight import preflight as preflight
    from recokit.result import Recommendations as Recommendations

__version__ = "0.1.0.dev0"

_MODULES = (
    "candidates",
    "data",
    "datasets",
    "debias",
    "debugger",
    "diversity",
    "errors",
    "evaluation",
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
    "training",
    "tuning",
)
_HOMES = {
    "Candidates": ".data.candidates",
    "Cap": ".data.limits",
    "Dataset": ".data.dataset",
    "Hydrated": ".data.requests",
    "Live": ".data.live",
    "LiveEvents": ".data.events.live_events",
    "Pin": ".data.limits",
    "Pipeline": ".pipeline.pipeline",
    "RecommendationDebugger": ".debugger",
    "Recommendations": ".result",
    "Requests": ".data.requests",
    "Retrieved": ".data.candidates",
    "Step": ".compose.step",
    "evaluate": ".evaluation",
    "validate": ".data.validation.training_data",
}
__all__ = sorted(["__version__", *_HOMES, *_MODULES])
__getattr__, __dir__ = lazy_face(__name__, {**_HOMES, **dict.fromkeys(_MODULES, "")})
stand_in("recokit.checklist")
