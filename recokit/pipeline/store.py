"""Store: a fitted pipeline in a folder, without pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recokit.compose import Merge
from recokit.data import load_state, save_state
from recokit.pipeline.pipeline import Pipeline, _step, replace_sources
from recokit.protocols import Role

__all__ = ["load_pipeline", "save_pipeline"]


def save_pipeline(pipeline: Pipeline, path: str | Path) -> None:
    """Save the fitted stages as steps, with the model's schema."""
    plan = pipeline._ready().plan
    merge = replace_sources(plan, [_step(node) for node in plan.sources])
    stages: list[Any] = []
    for node in plan:
        if node is plan.fallback:
            continue
        if node.role is not Role.SOURCE:
            stages.append(_step(node))
        elif node is plan.sources[0]:
            stages.append(merge)
    state = {
        "stages": stages,
        "fallback": None if plan.fallback is None else _step(plan.fallback),
        "schema": pipeline.schema,
        "until": pipeline.fitted_until,
        "validate": pipeline.validate,
    }
    save_state(path, state, {"fingerprint": pipeline.fingerprint})


def load_pipeline(path: str | Path, trusted: Sequence[type], options: Mapping[str, Any]) -> Pipeline:
    """Rebuild the pipeline; its stages are fitted and bound already."""
    state, _ = load_state(path, trusted=trusted)
    pipeline = Pipeline(state["stages"], fallback=state["fallback"], validate=state["validate"], **options)
    pipeline._adopt(pipeline._plan, state["schema"], state["until"])
    return pipeline
