"""``recokit evaluate``: a model on what came after the data that it learned from."""

from __future__ import annotations

from typing import Any

from recokit._cli.options import Parser, UsageError, add_data, add_model, as_mapping, pair_of_number


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_model(made)
    add_data(made)
    made.add_argument(
        "--metrics",
        nargs="+",
        default=["NDCG@10", "Recall@10"],
        metavar="M",
        help="NDCG@10 and Recall@10 by default",
    )
    made.add_argument("--by", default="activity", metavar="SEGMENT", help="activity, or a column of users")
    made.add_argument(
        "--horizon", metavar="7D", help="length of the test part; all that came after by default"
    )
    made.add_argument("--baseline", metavar="MODEL", help="1 unless it may replace this one (a gate)")
    made.add_argument(
        "--at-least",
        metavar="M=VALUE",
        action="append",
        type=pair_of_number,
        default=[],
        help="1 where a metric's mean is below; may be repeated",
    )
    return made


def run(options: Any) -> int:
    """Print the evaluation; 1 where it is below what was asked, or the gate is closed."""
    from recokit._cli.inputs import dataset, model
    from recokit._cli.output import note, show
    from recokit.evaluation.evaluate import evaluate

    least = as_mapping(options.at_least)
    unknown = [name for name in least if name not in options.metrics]
    if unknown:
        raise UsageError(f"found --at-least {unknown[0]}; expected it among --metrics")
    pipeline = model(options.model, options.trust)
    subjects = {options.model: pipeline}
    if options.baseline:
        subjects[options.baseline] = model(options.baseline, options.trust)
    train, test = dataset(options).split_at(
        max(one.fitted_until for one in subjects.values()), horizon=options.horizon
    )
    found = {
        name: evaluate(one, test, options.metrics, by=options.by, history=train, now=train.until)
        for name, one in subjects.items()
    }
    evaluation = found[options.model]
    low = {name: value for name, value in least.items() if not evaluation[name].mean >= value}
    gate = _gate(options, found) if options.baseline else None
    show(options, evaluation, below=sorted(low), gate=None if gate is None else gate.to_dict())
    if gate is not None and not options.json:
        print(gate)
    for name, value in low.items():
        note(f"found {name} {evaluation[name].mean:.4f}; expected at least {value:g}")
    return int(bool(low) or (gate is not None and not gate.passed))


def _gate(options: Any, found: dict[str, Any]) -> Any:
    from recokit.evaluation.gate import Gate

    return Gate(found[options.baseline], metrics=options.metrics).check(found[options.model])
