"""Pipeline: stages compiled into one funnel.

:class:`Pipeline` assembles, fits, serves, saves and shows; :class:`Step` gives a stage a name, a condition or a limit.
"""

from recokit.pipeline.budget import PHASE_BUDGET_MS, TOTAL_BUDGET_MS
from recokit.pipeline.nested import PipelineSource
from recokit.pipeline.pipeline import Pipeline
from recokit.pipeline.step import Step

__all__ = ["PHASE_BUDGET_MS", "TOTAL_BUDGET_MS", "Pipeline", "PipelineSource", "Step"]
