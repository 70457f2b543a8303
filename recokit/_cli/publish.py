"""``recokit publish``: a model becomes the version that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recokit._cli.options import Parser, UsageError, add_model, positive


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_model(made)
    made.add_argument("store", metavar="STORE", help="folder or URL of the store; made when it is not there")
    made.add_argument("--golden", metavar="FOLDER", help="questions that the model must answer")
    made.add_argument(
        "--new-golden", action="store_true", help="write the questions of --golden from this model first"
    )
    made.add_argument(
        "--keep", type=positive, default=3, metavar="N", help="newest versions kept, 3 by default"
    )
    return made


def run(options: Any) -> int:
    """Publish; 1 where the golden questions are answered otherwise."""
    from recokit._cli.inputs import is_store, model, store
    from recokit._cli.output import note, print_json
    from recokit.errors import GateRejected
    from recokit.serving.golden import Golden

    if options.new_golden and not options.golden:
        raise UsageError("found --new-golden without --golden FOLDER; expected both")
    if is_store(options.model):
        raise UsageError(f"found a store at {options.model}; expected the folder of a saved model")
    pipeline = model(options.model, options.trust)
    if options.new_golden:
        Golden.of(pipeline).save(options.golden)
    if options.golden and not Path(options.golden).is_dir():
        raise UsageError(f"found no questions at {options.golden!r}; hint: --new-golden writes them")
    golden = Golden.load(options.golden) if options.golden else None
    try:
        version = store(options.store, options.trust, golden=golden, keep=options.keep).publish(pipeline)
    except GateRejected as error:
        if options.json:
            print_json({"version": None, "refused": str(error)})
        note(f"refused: {error}")
        return 1
    told = {"version": version.name, "fingerprint": version.fingerprint, "store": options.store}
    if options.json:
        print_json(told)
    else:
        print(f"{version.name} serves from {options.store}")
    return 0
