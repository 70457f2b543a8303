"""recokit: recommender components for production.

The parts stand in their modules (``candidates``, ``features``, ``stores``, ``rankers``, ``rules``, ``diversity``,
``exploration``, ``text``, ``metrics``, ``debugger``, ``datasets``, ``testing``); what joins them stands here.
Everything loads when it is first used: ``import recokit`` loads the standard library only.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face
from recokit._utils.moved import stand_in

if TYPE_CHECKING:
    from recokit import (
        budget as budget,
        candidates as candidates,
        compose as compose,
        data as data,
        datasets as datasets,
        debias as debias,
        debugger as debugger,
        distributed as distributed,
        diversity as diversity,
        errors as errors,
        evaluation as evaluation,
        experiments as experiments,
        exploration as exploration,
        features as features,
        metrics as metrics,
        monitoring as monitoring,
        off_policy as off_policy,
        pipeline as pipeline,
        protocols as protocols,
        rankers as rankers,
        result as result,
        rules as rules,
        serving as serving,
        slates as slates,
        stores as stores,
        suggestion as suggestion,
        testing as testing,
        text as text,
        trace as trace,
        training as training,
        tuning as tuning,
        typing as typing,
    )
    from recokit._utils.versions import show_versions as show_versions
    from recokit.data.candidates import Candidates as Candidates, Retrieved as Retrieved
    from recokit.data.dataset import Dataset as Dataset
    from recokit.data.events.live_events import LiveEvents as LiveEvents
    from recokit.data.limits import Cap as Cap, Pin as Pin
    from recokit.data.live import Live as Live
    from recokit.data.requests import Hydrated as Hydrated, Requests as Requests
    from recokit.data.validation.training_data import validate as validate
    from recokit.debugger import RecommendationDebugger as RecommendationDebugger
    from recokit.evaluation.evaluate import evaluate as evaluate
    from recokit.pipeline import Pipeline as Pipeline, Step as Step
    from recokit.preflight.preflight import preflight as preflight
    from recokit.result import Recommendations as Recommendations
    from recokit.suggestion.choose import suggest as suggest

__version__ = "0.1.0.dev0"

__getattr__, __dir__ = lazy_face(__name__)
stand_in("recokit.checklist")
