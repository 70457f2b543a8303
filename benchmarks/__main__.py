"""All benchmarks by one command.

    python -m benchmarks run [NAME ...]     run them, and keep the last line of each in benchmarks/results
    python -m benchmarks smoke [NAME ...]   run them at a small size: does each still run to its end?
    python -m benchmarks table              write benchmarks/RESULTS.md from benchmarks/results

What a small run must show is that the benchmark works, its own equalities included; goals are judged at full size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
#: Small sizes: what a benchmark is called with in a smoke run.
SMALL: dict[str, str] = {
    "accuracy": "--data citeulike-a --sources ItemKNN",
    "alerts": "--days 2 --busy 20 --repeats 1",
    "candidates": "--data citeulike-a",
    "diagnosis": "--small",
    "distributed": "--users 300 --no-spark",
    "diversity": "--candidates 200 --k 10 --batch 4 --rounds 2",
    "diversity_front": "--cuts 2",
    "experiments": "--runs 100 --rows 50000 --requests 800 --users 150",
    "fairness": "--requests 300",
    "features": "--events 20000 --rows 2000 --repeat 1",
    "intervals": "--runs 20",
    "lift": "--data ml-100k --weeks 1",
    "suggest": "--data small --minutes 0.2",
    "metric_agreement": "--rounds 4",
    "metrics": "--users 500 --many 20000 --repeat 2",
    "monitoring": "--requests 2000",
    "off_policy": "--simulations 20 --rounds 2000 --worlds 1",
    "rankers": "--rows 2000 --trees 10 --calls 10 --batch 5",
    "request": "--items 20000 --requests 60",
    "rules": "--repeat 10",
    "scale": "--items 5000 --events 20000 --made",
    "serving": "--users 60 --items 60 --seconds 0.5 --connections 4 --hits 20 --swaps 4 --fault-requests 6 "
    "--fault-budget-ms 200",
    "sequential": '--data Beauty --options {"n_epochs":1}',
    "stores": "--ids 500 --repeat 50",
    "text": "--small",
    "two_stage": "--alone --data ml-100k",
    "unbiased": "--users 300 --seeds 2",
}


def run(name: str, options: str = "") -> tuple[dict[str, Any] | None, str]:
    """Run one benchmark in a process of its own; return the object of its last line, or None, and what it printed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parent, check=False)
    lines = done.stdout.strip().splitlines()
    try:
        return dict(json.loads(lines[-1])), done.stdout
    except (IndexError, ValueError):
        return None, done.stdout + done.stderr


def smoke(names: Sequence[str]) -> bool:
    """Run benchmarks at a small size and print the seconds of each; return whether all came to their end."""

    def one(name: str) -> bool:
        start = time.perf_counter()
        found, output = run(name, SMALL[name])
        verdict = "ok" if found else f"BROKEN\n{output}"
        print(f"{name:18} {time.perf_counter() - start:6.1f} s {verdict}", flush=True)
        return found is not None

    # Side by side: nothing is judged by its seconds here.
    with ThreadPoolExecutor(2) as pool:
        return all(list(pool.map(one, names)))


def keep(names: Sequence[str]) -> bool:
    """Run benchmarks at full size and keep the last line of each, dated; return whether all came to their end."""
    RESULTS.mkdir(exist_ok=True)
    broken = []
    for name in names:
        found, output = run(name)
        print(output, flush=True)
        if found is None:
            broken.append(name)
            continue
        found["date"] = datetime.now(UTC).date().isoformat()
        (RESULTS / f"{name}.json").write_text(json.dumps(found) + "\n")
    return not broken


def table() -> str:
    """Return the page of all kept results: a table a benchmark, with its date and its machine."""
    pages = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return "\n".join([_HEAD, *map(_section, pages)])


_HEAD = """\
# Benchmark results

Written by `make results` from the last lines of the benchmarks, which lie in `benchmarks/results`. What was tried, and
results older than those files, are in [NOTES.md](NOTES.md).

Seconds belong to the machine named above a table; ratios to a peer or to a hand-written floor are measured in the same
run and carry over. A goal that was missed is listed as missed."""


def _section(found: Mapping[str, Any]) -> str:
    where = found["machine"]
    rows = [
        f"| {check['name']} | {_number(check['value'])} | {check['unit']} | {_goal(check)} | {_verdict(check)} |"
        for check in found["checks"]
    ]
    heading = f"{found['date']}, {where['cpu']}, {where['cores_used']} of {where['cores']} cores"
    packages = ", ".join(f"{name} {where[name]}" for name in ("python", "numpy") if name in where)
    kernels = f", kernels {where['kernels']}" if "kernels" in where else ""
    head = [f"\n## {found['benchmark']}\n", f"{heading}; {packages}{kernels}.\n"]
    return "\n".join([*head, "| check | value | unit | goal | |", "|---|---|---|---|---|", *rows])


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"


def _goal(check: Mapping[str, Any]) -> str:
    return "" if check["goal"] is None else f"{check['relation']} {check['goal']:g}".strip()


def _verdict(check: Mapping[str, Any]) -> str:
    return "" if check["goal"] is None else "ok" if check["ok"] else "**missed**"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["run", "smoke", "table"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    options = parser.parse_args()
    names = options.names or list(SMALL)
    if unknown := sorted(set(names) - set(SMALL)):
        sys.exit(f"found {', '.join(unknown)}; expected names of {', '.join(SMALL)}")
    if options.command == "table":
        (FOLDER / "RESULTS.md").write_text(table() + "\n")
    elif not (smoke if options.command == "smoke" else keep)(names):
        sys.exit(1)


if __name__ == "__main__":
    main()
