"""Results of the benchmark of the debugger: kept as JSON lines, joined as figures, checks and a confusion matrix."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._harness import Check
from recokit.testing import faults

__all__ = ["checks", "line", "markdown", "read", "summary", "write"]

#: Share of the draws of one kind that must be right for the kind to count as named.
NAMED = 0.8
Result = dict[str, Any]


def version() -> str:
    """Return a short hash of the debugger and the catalogue: results of other versions do not count."""
    digest = hashlib.sha256()
    package = Path(rk.__file__).parent
    for part in ("debugger", "testing/faults"):
        for path in sorted((package / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def write(folder: Path, result: Result) -> None:
    """Append a result; each process has a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**result, "version": version()}, default=str) + "\n")


def read(folder: Path) -> dict[str, Result]:
    """Return the results of this version by key."""
    current, found = version(), {}
    for path in sorted(folder.glob("*.jsonl")) if folder.exists() else []:
        for row in path.read_text(encoding="utf-8").splitlines():
            result = json.loads(row)
            if result["version"] == current:
                found[result["key"]] = result
    return found


def line(result: Result) -> str:
    """Return one result as it is printed while developing."""
    if "ill" in result:
        return "\n".join(
            [f"{result['key']}: {len(result['ill'])} of {result['users']} with a finding", *result["ill"]]
        )
    if "skipped" in result:
        return f"skip   {result['key']}: {result['skipped'][:90]}"
    if "crashed" in result:
        return f"CRASH  {result['key']}: {result['crashed']}"
    if "said" not in result:
        return f"{result['key']}: {json.dumps({n: v for n, v in result.items() if n not in ('key', 'what')})}"
    verdict = "ok    " if result["right"] else "top3  " if result["in_top_three"] else "MISS  "
    said = "; ".join(f"{code} {stage} [{scope}]" for code, stage, scope in result["said"][:3])
    proof = ""
    if "healed" in result:
        proof = f", healed: {result['healed']}, by {result['wrong']}: {result['healed_wrong']}"
    cost = f"({result['seconds']} s)"
    return f"{verdict} {result['key']} {cost} planted {result['planted']} said {said or 'nothing'}{proof}"


def _of_faults(results: Sequence[Result], baseline: str) -> dict[str, list[Result]]:
    """Return the results of each kind that could be planted."""
    by_kind: dict[str, list[Result]] = {}
    for one in results:
        if one["what"] in faults.CATALOGUE and one["baseline"] == baseline and "skipped" not in one:
            by_kind.setdefault(one["what"], []).append(one)
    return {name: by_kind[name] for name in faults.CATALOGUE if name in by_kind}


def _share(results: Sequence[Result], field: str) -> float:
    return float(np.mean([bool(one[field]) for one in results])) if results else 0.0


def summary(results: Sequence[Result]) -> str:
    """Return how many kinds are named, with a baseline and without."""
    lines = []
    for baseline in ("refit", "alone"):
        kinds = _of_faults(results, baseline)
        if kinds:
            named = sum(_share(found, "right") >= NAMED for found in kinds.values())
            every = [one for found in kinds.values() for one in found]
            lines.append(
                f"{baseline}: {named} of {len(kinds)} kinds; {_share(every, 'right'):.0%} first, "
                f"{_share(every, 'in_top_three'):.0%} in the top three of {len(every)}"
            )
            missed = [name for name, found in kinds.items() if _share(found, "right") < NAMED]
            lines.append("missed: " + ", ".join(missed))
    return "\n".join(lines)


def markdown(results: Sequence[Result]) -> str:
    """Return the confusion matrix: of each kind how often it was right, and what else was said."""
    alone = _of_faults(results, "alone")
    rows = ["| kind | with a baseline | alone | said instead |", "|---|---|---|---|"]
    for name, found in _of_faults(results, "refit").items():
        wrong = Counter(
            f"{one['said'][0][0]} {one['said'][0][1]}" if one.get("said") else one.get("crashed", "nothing")
            for one in found
            if not one["right"]
        )
        others = "<br>".join(f"{n} x {answer}" for answer, n in wrong.most_common(3))
        without = alone.get(name, [])
        beside = f"{sum(one['right'] for one in without)} of {len(without)}" if without else ""
        rows.append(
            f"| `{name}` | {sum(one['right'] for one in found)} of {len(found)} | {beside} | {others} |"
        )
    return "\n".join(rows)


def checks(results: Sequence[Result], *, small: bool = False) -> list[Check]:
    """Return what is asked of all results together."""
    made: list[Check] = []
    if small:
        right = [one for one in results if one["what"] in faults.CATALOGUE]
        ill = sum(len(one["ill"]) for one in results if "ill" in one)
        return [
            Check.at_least("faults named", sum(bool(one.get("right")) for one in right), len(right) - 1, ""),
            Check.at_most("healthy users with a finding", ill, 0, ""),
        ]
    for baseline, goal in (("refit", 0.9), ("alone", 0.6)):
        kinds = _of_faults(results, baseline)
        every = [one for found in kinds.values() for one in found]
        named = (
            float(np.mean([_share(found, "right") >= NAMED for found in kinds.values()])) if kinds else 0.0
        )
        text = "with a baseline" if baseline == "refit" else "without one"
        made.append(Check.at_least(f"kinds named, {text}", named, goal, f"of {len(kinds)}"))
        if baseline == "refit":
            made.append(
                Check.at_least("right one in the top three", _share(every, "in_top_three"), 0.98, "share")
            )
    asked = [one for one in results if "healed" in one]
    if asked:
        made.append(Check.at_least("confirm heals", _share(asked, "healed"), 0.9, f"of {len(asked)}"))
        made.append(
            Check.at_most("confirm heals by a wrong stage", _share(asked, "healed_wrong"), 0.02, "share")
        )
    pairs = [one for one in results if one["what"] == "pair" and "skipped" not in one]
    made.append(
        Check.at_least("two at once, both in the top three", _share(pairs, "right"), 0.8, f"of {len(pairs)}")
    )
    made += _of_healthy(results)
    for one in results:
        if one["what"] == "cost" and "plain" in one:
            name = one["world"]
            made += [
                Check.at_most(f"diagnosis / request, {name}", one["paired"], 3.0, "times"),
                Check.at_most(f"diagnose_many, {name}", one["many_seconds"], 20.0, "s for 2,000 users"),
                Check.at_most(f"peak memory of diagnose_many, {name}", one["peak_mb"], 100.0, "MB"),
            ]
    return made


def _of_healthy(results: Sequence[Result]) -> list[Check]:
    made = []
    for baseline, goal in (("same", 0.0), ("refit", 2.0), ("alone", 6.0)):
        for name in sorted({one["world"] for one in results}):
            mine = [
                one
                for one in results
                if "ill" in one and one["world"] == name and one["baseline"] == baseline
            ]
            if mine:
                n, ill = sum(one["users"] for one in mine), sum(len(one["ill"]) for one in mine)
                text = {"same": "beside itself", "refit": "beside last week's", "alone": "alone"}[baseline]
                made.append(
                    Check.at_most(f"healthy with a finding, {name} {text}", ill, goal * n / 200, f"of {n}")
                )
    return made
