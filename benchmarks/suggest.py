"""What `suggest` is worth: `python -m benchmarks.suggest --data ml-100k --minutes 10 --out FOLDER [--week N]`.

On each data set of `lift`, `suggest` runs once on what was before the first cut; its code then fits at each of four
weekly cuts and answers all users of the week after. Beside it stand the sources of the hand-tuned funnel alone, of
which the best in that week, by the test itself, is compared with, and the funnel. One week is one shard: its figures
are kept in the folder, and a run goes on where the last one ended.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._harness import Check, report
from benchmarks.lift import CASES, METRIC, Case, Week, alone, checks_of, marketplace
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Dataset

__all__ = ["main", "suggested", "week_of"]

#: Not judged by: a marketplace that a smoke run gets through in seconds.
SMALL = {"small": marketplace(seed=0, n_users=200, n_weeks=1)}


def suggested(name: str, case: Case, minutes: float, out: Path) -> str:
    """Return the code that was suggested before the first cut, from the folder if it is there."""
    path = out / f"{name}-{minutes:g}.json"
    if not path.exists():
        train, _ = case.split(case.cuts[0])
        found = rk.suggest(train, minutes=minutes, goal=METRIC)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        path.write_text(
            json.dumps({"code": found.code, "seconds": found.seconds, "peak_gb": peak, "report": str(found)})
        )
    return str(json.loads(path.read_text())["code"])


def pipeline_of(code: str, data: Dataset) -> rk.Pipeline:
    """Return what the code fits."""
    scope: dict[str, Any] = {"data": data, "candidates": candidates, "diversity": diversity}
    exec(code, {**scope, "features": features, "rankers": rankers, "rules": rules, "rk": rk}, scope)
    made: rk.Pipeline = scope["pipeline"]
    return made


def week_of(name: str, case: Case, code: str, cut: str, path: Path) -> Week:
    """Return the figures of one week, from the folder if they are there."""
    if not path.exists():
        train, test = case.split(cut)
        started = time.perf_counter()
        mine = pipeline_of(code, train)
        tuned = case.build().fit(train, **case.fit).without(*case.caps)
        subjects = {"suggested": mine, "tuned": tuned, **alone(tuned)}
        found = rk.evaluate(subjects, test, [METRIC], by="activity", history=train, now=train.until)
        best = max(alone(tuned), key=lambda one: found[one][METRIC].mean)
        ours = found["suggested"]
        label = np.array(ours.segments)[ours.segment]
        arrays = {one: found[one].values(METRIC) for one in ("suggested", "tuned", best)}
        users = ours.users.decode(np.arange(1, len(ours) + 1)).astype(
            str
        )  # no objects: they would be pickled
        np.savez(
            path,
            user=users,
            segment=label,
            best=best,
            ours=arrays["suggested"],
            tuned=arrays["tuned"],
            theirs=arrays[best],
        )
        means = {one: round(float(values.mean()), 4) for one, values in arrays.items()}
        print(f"{name} {cut}: {means}, {time.perf_counter() - started:.0f} s", flush=True)
    kept = np.load(path, allow_pickle=False)
    return Week(cut, str(kept["best"]), kept["user"], kept["ours"], kept["theirs"], kept["segment"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=sorted(CASES | SMALL), default="ml-100k")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--week", type=int, help="only this week, from 0: one shard")
    parser.add_argument("--out", type=Path, default=Path("suggest-shards"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    case = (CASES | SMALL)[given.data]
    code = suggested(given.data, case, given.minutes, given.out)
    cuts = case.cuts if given.week is None else case.cuts[given.week : given.week + 1]
    weeks = []
    for cut in cuts:
        path = given.out / f"{given.data}-{given.minutes:g}-{cut}.npz"
        weeks.append(week_of(given.data, case, code, cut, path))
    checks = checks_of(f"{given.data}, suggested in {given.minutes:g} minutes", weeks)
    spent = json.loads((given.out / f"{given.data}-{given.minutes:g}.json").read_text())
    checks.append(Check.at_most(f"{given.data}: suggest", spent["seconds"], 600 + 120, "s"))
    checks.append(Check.at_most(f"{given.data}: peak memory", spent["peak_gb"], 6.0, "GB"))
    report("suggest", checks)


if __name__ == "__main__":
    main()
