"""What commands print: reports as text, or as one JSON document."""

from __future__ import annotations

import json
import sys
from typing import Any

from recokit._utils.report import json_ready


def show(options: Any, report: Any, **more: Any) -> None:
    """Print a report, as JSON where that is asked for."""
    if options.json:
        print_json({**report.to_dict(), **more})
    else:
        print(report)


def print_json(value: Any) -> None:
    """Print JSON in one line; what JSON has no number for is null."""
    print(json.dumps(json_ready(value), allow_nan=False), flush=True)


def note(text: str) -> None:
    """Say something beside the output."""
    print(text, file=sys.stderr, flush=True)
