"""Run every script of the gallery as a user would, warnings as errors: ``python -m examples.gallery``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

#: Seconds of processor time that a script may take.
LIMIT = 30.0
ROOT = Path(__file__).resolve().parents[2]


def run(script: Path) -> tuple[float, float, int]:
    """Return wall seconds, processor seconds and exit status of one script."""
    ours = {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    command = [sys.executable, "-W", "error", str(script)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **ours}) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, process.returncode


def main() -> int:
    """Run the scripts named, or all; return how many failed or took too long."""
    names, bad = sys.argv[1:], 0
    for script in sorted(Path(__file__).parent.glob("plot_*.py")):
        if names and script.stem.removeprefix("plot_") not in names:
            continue
        wall, processor, code = run(script)
        verdict = "failed" if code else "too slow" if processor > LIMIT else "ok"
        bad += verdict != "ok"
        print(f"{script.stem:<20} {wall:6.1f} s  {processor:6.1f} s of processor  {verdict}", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(min(main(), 1))
