"""Pipeline: stages compiled into one funnel.

:class:`Pipeline` assembles, fits, serves, saves and shows; :class:`Step` gives a stage a name, a condition or a limit.
"""

from recokit.budget import PHASE_BUDGET_MS, TOTAL_BUDGET_MS
from recokit.compose.step import Step
from recokit.pipeline.pipeline import Pipeline
from recokit.pipeline.views import PipelineSource

__all__ = ["PHASE_BUDGET_MS", "TOTAL_BUDGET_MS", "Pipeline", "PipelineSource", "Step"]
