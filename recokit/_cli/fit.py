"""``recokit fit``: train the pipeline of a Python file, and save it."""

from __future__ import annotations

from typing import Any

from recokit._cli.options import Parser, UsageError, add_data


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    made.add_argument(
        "pipeline",
        metavar="CODE",
        help="FILE.py or module, or CODE:FUNCTION, that returns a Pipeline (make_pipeline)",
    )
    add_data(made, optional=True)
    made.add_argument("--out", metavar="FOLDER", required=True, help="where the model is saved")
    made.add_argument("--label-window", metavar="7D", help="length of the windows that rankers learn from")
    made.add_argument("--windows", type=int, metavar="N", help="how many of them at most")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn")
    made.add_argument("--profile", action="store_true", help="keep what the features looked like, for drift")
    return made


def run(options: Any) -> int:
    """Fit and save, and print what the ranker learned from."""
    from recokit._cli.code import returned
    from recokit._cli.inputs import dataset
    from recokit._cli.output import note, print_json
    from recokit.pipeline import Pipeline

    if options.data is None and ":" in options.pipeline:
        raise UsageError(f"found {options.pipeline} without DATA; expected it, such as events.csv")
    data = dataset(options, options.data or options.pipeline)
    pipeline = returned(options.pipeline, "make_pipeline", Pipeline, data)
    learning = {"label_window": options.label_window, "windows": options.windows, "seed": options.seed}
    pipeline.fit(data, **learning)
    if options.profile:
        from recokit.monitoring.drift.profile import ReferenceProfile

        pipeline.profile = ReferenceProfile.of(pipeline.training_data(data, **learning).data)
    pipeline.save(options.out)
    report, told = pipeline.training_report_, {"model": options.out, "fingerprint": pipeline.fingerprint}
    if options.json:
        more = {"stages": pipeline.names, "fitted_until": pipeline.fitted_until}
        print_json({**told, **more, "training": "" if report is None else str(report)})
    else:
        print(report or f"{len(pipeline.names)} stages fitted; no ranker learns")
        note(f"saved {pipeline.fingerprint} to {options.out}")
    return 0
