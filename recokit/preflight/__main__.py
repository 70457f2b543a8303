"""Read a saved launch checklist in CI: ``python -m recokit.preflight preflight.json --allow-unchecked rules.stock``.

Exits with 0 if every item passed or warns, 1 if one failed or was not checked. What need not be checked is named.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from recokit.data.validation.report import Check
from recokit.errors import DataError
from recokit.preflight.report import PreflightReport


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report and what stands in the way, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recokit.preflight", description=__doc__)
    parser.add_argument("report", help="file of PreflightReport.save that ends in .json")
    parser.add_argument(
        "--allow-unchecked",
        nargs="*",
        metavar="ITEM",
        help="these items need not be checked; none named: all",
    )
    parser.add_argument("--strict", action="store_true", help="an item that warns gives 1 too")
    given = parser.parse_args(arguments)
    report = read(given.report)
    allowed = given.allow_unchecked
    options = {"strict": given.strict, "allow_unchecked": () if allowed is None else allowed or True}
    print(report)
    bad = report.blocking(**options)
    print(f"not checked: {', '.join(check.name for check in report.unchecked) or 'nothing'}")
    print(f"in the way: {', '.join(check.name for check in bad) or 'nothing'}")
    return report.exit_code(**options)


def read(path: str | Path) -> PreflightReport:
    """Return the report that ``PreflightReport.save`` wrote as JSON.

    Raises
    ------
    DataError
        If it is another file.
    """
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        parts = [
            {
                name: check[name]
                for name in ("name", "status", "message", "expected", "hint", "subject", "evidence")
            }
            for check in saved["checks"]
        ]
        return PreflightReport(saved["title"], tuple(Check(**part) for part in parts))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"found no launch checklist in {path}; expected a .json file of its save") from error


if __name__ == "__main__":
    sys.exit(main())
