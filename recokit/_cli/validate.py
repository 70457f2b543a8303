"""``recokit validate``: whether data is fit to train on."""

from __future__ import annotations

from typing import Any

from recokit._cli.options import Parser, add_data, as_mapping, number_or_text, pair


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_data(made)
    made.add_argument("--now", metavar="DATE", help="when training starts; this moment by default")
    made.add_argument("--strict", action="store_true", help="a warning counts as a failure")
    made.add_argument(
        "--limit", metavar="NAME=VALUE", action="append", type=pair, default=[], help="such as max_age=48h"
    )
    return made


def run(options: Any) -> int:
    """Print the report; 1 where a check failed."""
    from recokit._cli.inputs import dataset
    from recokit._cli.output import show
    from recokit.data.validation.training_data import validate

    limits = {name: number_or_text(value) for name, value in as_mapping(options.limit).items()}
    report = validate(dataset(options), now=options.now, **limits)
    show(options, report)
    return int(not report.ok or (options.strict and bool(report.findings)))
