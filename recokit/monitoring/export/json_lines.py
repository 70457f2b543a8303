"""JsonLines: a line of JSON for each run, for whatever reads logs."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from recokit.monitoring.monitor import when
from recokit.trace import Status, Trace


class JsonLines:
    """Append a line for each run to a file: time, duration, answers by status, reasons, the funnel.

    Lines hold no ids of users or items. Wrap it in :class:`Background`, so that no request waits for the disk.

    Parameters
    ----------
    path : str or path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> lines = JsonLines(Path(tempfile.mkdtemp()) / "runs.jsonl")
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[lines]).fit(data)
    >>> _ = pipeline.recommend(["user-1"], k=3, now=data.until)
    >>> line = json.loads(lines.path.read_text())
    >>> line["status"], line["items"], [stage["name"] for stage in line["stages"]]
    ({'ok': 1}, 3, ['popular', 'merge', 'selection'])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()

    def observe(self, trace: Trace) -> None:
        """Append a run's line."""
        line = json.dumps(_record(trace), allow_nan=False, separators=(",", ":"))
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _record(trace: Trace) -> dict[str, Any]:
    counts = np.bincount(trace.status, minlength=len(Status)).tolist()
    return {
        "time": when(trace),
        "seconds": trace.seconds,
        "model": trace.fingerprint,
        "requests": len(trace.requests),
        "items": len(trace.selected),
        "status": {status.name.lower(): counts[status] for status in Status if counts[status]},
        "reasons": sorted({reason for reasons in trace.reasons for reason in reasons}),
        "overruns": dict(trace.overruns),
        "stages": [{**record, "seconds": record.pop("ms") / 1e3} for record in trace.funnel()],
    }
