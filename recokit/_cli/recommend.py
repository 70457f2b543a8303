"""``recokit recommend``: lists of users."""

from __future__ import annotations

from typing import Any

from recokit._cli.options import Parser, add_model, add_now, positive

#: Users whose lists are made at a time: output comes while the rest is made.
_CHUNK = 1_000


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary, epilog="With --json one object a line, for each user.")
    add_model(made)
    made.add_argument(
        "user",
        metavar="USER",
        nargs="+",
        help="ids; - reads them from the input, one a line, an empty one is nobody",
    )
    made.add_argument("-k", type=positive, default=10, help="length of a list, 10 by default")
    made.add_argument("--budget-ms", type=float, metavar="MS", help="time budget of a chunk")
    add_now(made)
    return made


def run(options: Any) -> int:
    """Print the lists; 1 where a list is empty or its run failed."""
    from recokit._cli.inputs import model, request_time, user_ids
    from recokit._cli.output import note

    pipeline = model(options.model, options.trust)
    users, now = user_ids(options.user, pipeline), request_time(options.now, pipeline)
    bad = 0
    for start in range(0, len(users), _CHUNK):
        chunk = users[start : start + _CHUNK]
        found = pipeline.recommend(chunk, options.k, now=now, budget_ms=options.budget_ms)
        for row, user in enumerate(chunk):
            _show(options, user, found, row)
            bad += not found.ids(row)
    if bad:
        note(f"found {bad} of {len(users)} lists empty")
    return int(bool(bad))


def _show(options: Any, user: Any, found: Any, row: int) -> None:
    from recokit._cli.output import print_json
    from recokit.trace import Status

    records = found.records(row)
    status = Status(int(found.status[row])).name
    if options.json:
        print_json({"user_id": user, "status": status, "items": records})
        return
    print(f"{'nobody' if user is None else user}  {status}")
    for record in records:
        title = f"  {record['title']}" if record.get("title") else ""
        told = [", ".join(record["sources"]), *map(str, record["labels"])]
        print(f"{record['rank']:>4}  {record['item_id']}{title}  {record['score']:.4f}  {'; '.join(told)}")
