"""What all benchmarks share: timing, pinning to a core, goals and the report.

A benchmark measures its peer, or the bare floor, in the same run: seconds differ between machines, ratios hardly do.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recokit._native import library

__all__ = ["Check", "machine", "measure", "percentiles", "pin_to_core", "report"]


@dataclass(frozen=True)
class Check:
    """One measured value beside its goal."""

    name: str
    value: float
    goal: float | None
    unit: str
    ok: bool
    relation: str = ""

    @classmethod
    def at_most(cls, name: str, value: float, goal: float, unit: str = "") -> Check:
        """Return a check of a value that should be small; NaN never passes."""
        return cls(name, float(value), float(goal), unit, bool(value <= goal), "<=")

    @classmethod
    def at_least(cls, name: str, value: float, goal: float, unit: str = "") -> Check:
        """Return a check of a value that should be large; NaN never passes."""
        return cls(name, float(value), float(goal), unit, bool(value >= goal), ">=")

    @classmethod
    def info(cls, name: str, value: float, unit: str = "") -> Check:
        """Return a value worth reporting that has no goal."""
        return cls(name, float(value), None, unit, True)


def pin_to_core(n: int = 0) -> None:
    """Run this process on one of its cores, the n-th, with one thread in numpy, faiss and torch.

    The limit lasts as long as the process. Call it after importing the libraries that are measured: a thread pool
    that is not loaded yet cannot be limited.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux only; elsewhere the one thread has to do
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[n % len(cores)]})
    import faiss
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    faiss.omp_set_num_threads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def measure(fn: Callable[[], object], *, warmup: int = 3, repeat: int = 30) -> NDArray[np.float64]:
    """Return the seconds of ``repeat`` calls, after ``warmup`` calls that do not count.

    The garbage of the calls is collected between them, not in the middle of one.
    """
    for _ in range(warmup):
        fn()
    seconds = np.empty(repeat)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for i in range(repeat):
            start = time.perf_counter()
            fn()
            seconds[i] = time.perf_counter() - start
            if i % 100 == 99:
                gc.collect()
    finally:
        if collecting:
            gc.enable()
    return seconds


def percentiles(seconds: NDArray[np.float64], points: Sequence[float] = (50, 95, 99)) -> dict[str, float]:
    """Return ``{"p50": ..., "p95": ..., "p99": ...}`` in seconds."""
    return {
        f"p{point:g}": float(value)
        for point, value in zip(points, np.percentile(seconds, points), strict=True)
    }


def machine() -> dict[str, Any]:
    """Return what a reader must know to judge the seconds."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "cores_used": usable,
        "system": platform.system(),
        "python": platform.python_version(),
        "kernels": library.level(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "faiss-cpu", "torch")},
    }


def report(benchmark: str, checks: Sequence[Check], extra: Mapping[str, Any] | None = None) -> bool:
    """Print a table and, as the last line, one JSON object; return whether every goal was met.

    ``extra`` goes into the JSON object beside ``benchmark``, ``machine`` and ``checks``.
    """
    where = machine()
    print(f"\n{benchmark} on {where['cpu']}, {where['cores_used']} of {where['cores']} cores")
    rows = [
        (
            check.name,
            f"{check.value:.4g}",
            "" if check.goal is None else f"{check.relation} {check.goal:g}".strip(),
            check.unit,
            "" if check.goal is None else ("ok" if check.ok else "MISSED"),
        )
        for check in checks
    ]
    header = ("check", "value", "goal", "unit", "")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = (
            cell.rjust(w) if i == 1 else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
    found = {"benchmark": benchmark, "machine": where, "checks": [_finite(asdict(check)) for check in checks]}
    print(json.dumps({**found, **(extra or {})}, allow_nan=False), flush=True)
    return all(check.ok for check in checks)


def _finite(check: dict[str, Any]) -> dict[str, Any]:
    """Return the check with null for a value that JSON has no number for."""
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in check.items()}
