"""Hold one saved evaluation against another: ``python -m recokit.evaluation baseline.json candidate.json``.

Exits with 0 if the candidate passed, 1 if it failed, 2 if the data cannot tell.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from recokit._stats.intervals import FEW_USERS
from recokit.evaluation.evaluate import BASELINE
from recokit.evaluation.gate import MARGIN, SEGMENT_TOLERANCE, Gate
from recokit.evaluation.report import Evaluation


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recokit.evaluation", description=__doc__)
    parser.add_argument("baseline", help="file of Evaluation.save")
    parser.add_argument("candidate", help="file of Evaluation.save")
    parser.add_argument("--metrics", nargs="+", default=list(BASELINE), metavar="NAME")
    parser.add_argument("--margin", type=float, default=MARGIN, help="share that may be lost (%(default)s)")
    parser.add_argument("--segments", type=float, default=SEGMENT_TOLERANCE, help="of each (%(default)s)")
    parser.add_argument("--min-users", type=int, default=FEW_USERS, help="to judge a segment (%(default)s)")
    parser.add_argument("--guardrail", nargs=2, action="append", default=[], metavar=("NAME", "CHANGE"))
    parser.add_argument("--coverage", type=float, help="least share of the catalogue that is shown")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(arguments)
    gate = Gate(
        given.baseline,
        metrics=given.metrics,
        margin=given.margin,
        segments=given.segments,
        guardrails={name: float(change) for name, change in given.guardrail},
        coverage=given.coverage,
        min_users=given.min_users,
    )
    found = gate.check(Evaluation.load(given.candidate))
    print(json.dumps(found.to_dict(), allow_nan=False) if given.json else found)
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main())
