"""``recokit preflight``: the launch checklist."""

from __future__ import annotations

from typing import Any

from recokit._cli.options import Parser, add_data, add_model, as_mapping, number_or_text, pair


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_model(made)
    add_data(made)
    made.add_argument("--baseline", metavar="MODEL", help="the one that serves now")
    made.add_argument(
        "--allow-unchecked",
        nargs="+",
        default=[],
        metavar="ITEM",
        help="items that need not be checked; 'all'",
    )
    made.add_argument("--strict", action="store_true", help="an item that warns counts as a failure")
    made.add_argument("--out", metavar="FILE", help="write the report: .html, .md or .json")
    made.add_argument("--requests", type=int, default=50, metavar="N", help="single requests that are timed")
    made.add_argument(
        "--limit", metavar="NAME=VALUE", action="append", type=pair, default=[], help="such as budget_ms=50"
    )
    return made


def run(options: Any) -> int:
    """Print the checklist; 1 where an item failed or was not checked."""
    from recokit._cli.inputs import dataset, model
    from recokit._cli.output import note, show
    from recokit.preflight.preflight import preflight

    pipeline, data = model(options.model, options.trust), dataset(options)
    train, test = data.before(pipeline.fitted_until), None
    if len(train.interactions) < len(data.interactions):
        train, test = data.split_at(pipeline.fitted_until)
    report = preflight(
        pipeline,
        train,
        test,
        baseline=model(options.baseline, options.trust) if options.baseline else None,
        n_requests=options.requests,
        **{name: number_or_text(value) for name, value in as_mapping(options.limit).items()},
    )
    if options.out:
        report.save(options.out)
    allowed = True if options.allow_unchecked == ["all"] else options.allow_unchecked
    bad = report.blocking(strict=options.strict, allow_unchecked=allowed)
    show(options, report, in_the_way=[check.name for check in bad])
    if bad:
        note(f"in the way: {', '.join(check.name for check in bad)}")
    return int(bool(bad))
