"""Evaluations in files: JSON that a later, paired comparison can read."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data import Vocabulary
from recokit.errors import DataError
from recokit.evaluation._tables import json_number

if TYPE_CHECKING:
    from recokit.evaluation.report import Evaluation, Score

__all__ = ["fingerprint", "load", "save"]

_FORMAT = "recokit evaluation 1"


def fingerprint(found: Evaluation) -> str:
    """Return the hash of what two evaluations must share to be comparable user by user."""
    users = found.users.ids.tolist()
    same = [users, found.metrics, dict(found.definitions), found.k, found.now]
    return sha256(json.dumps(same, default=str).encode()).hexdigest()[:16]


def save(found: Evaluation, path: str | Path) -> None:
    """Write an evaluation with each user's values."""
    users = found.users.ids.tolist()
    body = {
        "name": found.name,
        "k": found.k,
        "now": found.now,
        "confidence": found.confidence,
        "n_without_truth": found.n_without_truth,
        "n_outside": found.n_outside,
        "sampled": found.sampled,
        "statuses": dict(found.statuses),
        "definitions": dict(found.definitions),
        "metrics": list(found.metrics),
        "segments": list(found.segments),
        "scores": [
            {
                name: json_number(value) if isinstance(value, float) else value
                for name, value in asdict(score).items()
            }
            for score in found.scores
        ],
        "users": users,
        "segment": found.segment.tolist(),
        "per_user": {
            # float32 has nine digits; more would only make the file larger.
            metric: [json_number(float(f"{value:.9g}")) for value in found.values(metric).tolist()]
            for metric in found.metrics
        },
    }
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    head = json.dumps({"format": _FORMAT, "fingerprint": found.fingerprint, "sha256": _digest(text)})
    Path(path).write_text(f'{head[:-1]}, "evaluation":\n{text}}}\n', encoding="utf-8")


def load(path: str | Path) -> dict[str, Any]:
    """Return what an Evaluation is made of."""
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"found {path} that is not JSON; expected a file of Evaluation.save") from error
    if not isinstance(read, dict) or read.get("format") != _FORMAT:
        raise DataError(f"found {path} of another kind; expected a file of Evaluation.save, {_FORMAT!r}")
    body = read["evaluation"]
    if _digest(json.dumps(body, separators=(",", ":"))) != read["sha256"]:
        raise DataError(f"found {path} changed since it was saved; expected it as Evaluation.save wrote it")
    body["users"] = Vocabulary(body["users"])
    body["segment"] = np.array(body["segment"], np.int64)
    body["segments"], body["metrics"] = tuple(body["segments"]), tuple(body["metrics"])
    columns = [body["per_user"][metric] for metric in body["metrics"]]
    body["per_user"] = np.array(columns, np.float32).T.reshape(len(body["users"]), len(columns))
    body["scores"] = tuple(_score(score) for score in body["scores"])
    found: dict[str, Any] = body
    return found


def _score(read: dict[str, Any]) -> Score:
    from recokit.evaluation.report import Score

    given: dict[str, Any] = {name: np.nan if value is None else value for name, value in read.items()}
    return Score(**given)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
