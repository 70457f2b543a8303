"""``recokit diagnose``: why lists are bad, and what to do."""

from __future__ import annotations

from typing import Any

from recokit._cli.options import Parser, add_model, add_now, positive


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_model(made)
    made.add_argument("user", metavar="USER", nargs="*", help="ids; - reads them from the input, one a line")
    made.add_argument(
        "--sample", type=positive, default=200, metavar="N", help="without users: so many, 200 by default"
    )
    made.add_argument("-k", type=positive, default=10, help="length of a list, 10 by default")
    add_now(made)
    return made


def run(options: Any) -> int:
    """Print the diagnosis of one user's list or of many; 1 where a list is ill."""
    from recokit._cli.inputs import model, request_time, some_users, user_ids
    from recokit._cli.output import show
    from recokit.debugger import RecommendationDebugger

    pipeline = model(options.model, options.trust)
    users = user_ids(options.user, pipeline) if options.user else some_users(pipeline, options.sample)
    debugger, now = RecommendationDebugger(pipeline), request_time(options.now, pipeline)
    if len(users) == 1:
        one = debugger.diagnose(users[0], k=options.k, now=now)
        show(options, one)
        return int(one.is_ill)
    many = debugger.diagnose_many(users, k=options.k, now=now)
    show(options, many)
    return int(bool(many.findings))
