"""``recokit profile``: what data looks like, and whether it has drifted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recokit._cli.options import Parser, UsageError, add_data
from recokit._utils.report import Content, Report, Table

if TYPE_CHECKING:
    from recokit.data.dataset import Dataset


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_data(made)
    made.add_argument("--out", metavar="FOLDER", help="save the profile of the events' columns")
    made.add_argument("--against", metavar="FOLDER", help="a saved profile; 1 where the data has drifted")
    return made


@dataclass(frozen=True, eq=False, repr=False)
class DataProfile(Report):
    """Counts of a dataset, and what its columns hold."""

    counts: dict[str, Any]
    columns: list[dict[str, Any]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"counts": self.counts, "columns": self.columns, "notes": list(self.notes)}

    def _content(self) -> Content:
        counts = [
            (name, f"{value:,}" if isinstance(value, int) else value) for name, value in self.counts.items()
        ]
        rows = [
            (column["of"], column["name"], f"{100 * column['missing']:.1f}%", column["holds"])
            for column in self.columns
        ]
        tables = [Table((), counts), Table(("of", "column", "missing", "holds"), rows)]
        return Content("Profile", tables, notes=self.notes)


def run(options: Any) -> int:
    """Print the profile; 1 where data has drifted against a saved one."""
    from recokit._cli.inputs import dataset
    from recokit._cli.output import note, show
    from recokit.data.state.folder import load_state, save_state
    from recokit.monitoring.drift.monitor import DriftMonitor
    from recokit.monitoring.drift.profile import ReferenceProfile

    if options.against and not Path(options.against).is_dir():
        raise UsageError(f"found no profile at {options.against!r}; hint: recokit profile --out")
    data = dataset(options)
    columns = event_columns(data)
    drift = None
    if options.against:
        monitor = DriftMonitor(load_state(options.against)[0])
        monitor.observe({name: columns[name] for name in monitor.profile.names if name in columns})
        drift = monitor.report()
    show(options, described(data), drift=None if drift is None else drift.to_dict())
    if options.out:
        save_state(options.out, ReferenceProfile.of(columns))
        note(f"saved to {options.out}")
    if drift is not None and not options.json:
        print(drift)
    return int(drift is not None and not drift.ok)


def event_columns(data: Dataset) -> dict[str, Any]:
    """Return what stands with each event: its type, its weight, and the columns of its item and user."""
    import numpy as np

    log = data.interactions
    columns: dict[str, Any] = {"weight": log.weight, "event": np.array(log.event_names, object)[log.event]}
    for entity, table, codes in (("item", data.items, log.item), ("user", data.users, log.user)):
        for name in table.names:
            values = _values(table, name)
            if values is not None:
                columns[f"{entity}.{name}"] = values[codes]
    return columns


def described(data: Dataset) -> DataProfile:
    """Return counts and columns of a dataset."""
    import numpy as np

    log = data.interactions
    per_user = np.bincount(log.user, minlength=data.n_users + 1)[1:]
    counts: dict[str, Any] = {"events": len(log), "users": data.n_users, "items": data.n_items}
    if len(log):
        counts |= {
            "from": _day(log.timestamp[0]),
            "to": _day(log.timestamp[-1]),
            "events of a user": f"median {np.median(per_user):.0f}, 99% {np.percentile(per_user, 99):.0f}",
            "items with an event": int(
                np.count_nonzero(np.bincount(log.item, minlength=data.n_items + 1)[1:])
            ),
        }
    for kind in data.event_types:
        counts[f"event {kind.name}"] = f"{kind.n_events:,}, weight {kind.weight}, {kind.role}"
    columns = [
        {"of": entity, "name": name, "missing": _missing(table, name), "holds": _holds(table, name)}
        for entity, table in (("item", data.items), ("user", data.users))
        for name in table.names
    ]
    return DataProfile(counts, columns, data.notes)


def _day(seconds: float) -> str:
    import datetime as dt

    return f"{dt.datetime.fromtimestamp(float(seconds), dt.UTC):%Y-%m-%d %H:%M}"


def _values(table: Any, name: str) -> Any:
    """Return numbers or labels by code; None for free text and times, which have no distribution to compare."""
    import numpy as np

    if name in table.categorical:
        column = table.categorical[name]
        return np.array(["", *map(str, column.labels.ids.tolist())], object)[column.codes]
    return table.column(name) if name in table.numeric_names else None


def _missing(table: Any, name: str) -> float:
    import numpy as np

    values = table.column(name)[1:]
    if not len(values):
        return 0.0
    if name in table.categorical:
        return float(np.mean(values == 0))
    return float(np.mean([value is None or value != value for value in values]))


def _holds(table: Any, name: str) -> str:
    """Return the kind of a column, and its range or its most common labels."""
    import numpy as np

    kind = table.kind_of(name)
    if name in table.categorical:
        column = table.categorical[name]
        count = np.bincount(column.codes, minlength=len(column.labels) + 1)[1:]
        most = np.argsort(-count, kind="stable")[:3]
        return f"{kind}: {', '.join(f'{column.labels.ids[place]} {count[place]:,}' for place in most)}"
    if name not in table.numeric_names or name in table.flags:
        return str(kind)
    known = table.column(name)[1:]
    known = known[np.isfinite(known)]
    if not len(known):
        return str(kind)
    low, middle, high = np.percentile(known, [0, 50, 100])
    return f"{kind}: {low:g} to {high:g}, median {middle:g}"
