"""Store: a fitted pipeline in a folder, without pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recokit.data import load_state, save_state
from recokit.pipeline.derive import steps_of
from recokit.pipeline.model import Model

__all__ = ["load_parts", "save_model"]


def save_model(model: Model, path: str | Path) -> None:
    """Save the fitted stages as steps, with the model's schema."""
    stages, fallback = steps_of(model.plan)
    state = {
        "stages": stages,
        "fallback": fallback,
        "schema": model.schema,
        "until": model.until,
        "validate": model.settings.validate,
    }
    save_state(path, state, {"fingerprint": model.fingerprint})


def load_parts(path: str | Path, trusted: Sequence[type]) -> Mapping[str, Any]:
    """Return what ``save_model`` saved: stages, fallback, schema, until and validate."""
    state, _ = load_state(path, trusted=trusted)
    parts: Mapping[str, Any] = state
    return parts
