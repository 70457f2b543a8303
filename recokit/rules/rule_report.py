"""report: what each rule removed, relaxed and moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recokit._kernels.top_k import order_by_score
from recokit._utils.report import Content, Report, Table
from recokit.data import Candidates
from recokit.errors import ConfigurationError
from recokit.result import Recommendations
from recokit.trace import StageEvent, Trace
from recokit.typing import IntArray

_HEADER = ("rule", "kind", "rows", "in", "removed", "share", "relaxed", "moved", "most places", "failed rows")


@dataclass(frozen=True)
class RuleFigures:
    """What one rule did.

    Parameters
    ----------
    name : str
        The stage's path, or the limit's name.
    kind : str
        ``"filter"``, ``"check"`` (of an annotator), ``"limit"``, or ``"scorer"``.
    rows : int
        Requests that it was asked about.
    n_in : int
        Candidates that it was asked about; 0 for a limit.
    removed : int
        Those of them that it let go. Two filters side by side may count the same candidate.
    relaxed : int
        Lists in which a soft limit yielded.
    moved : int, optional
        Candidates whose place a scorer changed; None where the run was not captured in full.
    most_places : int, optional
        The most places that one of them moved.
    failed_rows : int
        Requests that it failed on, which then show nothing.
    """

    name: str
    kind: str
    rows: int = 0
    n_in: int = 0
    removed: int = 0
    relaxed: int = 0
    moved: int | None = None
    most_places: int | None = None
    failed_rows: int = 0

    def __add__(self, other: RuleFigures) -> RuleFigures:
        """Return both together."""
        moved = [part for part in (self.moved, other.moved) if part is not None]
        places = [part for part in (self.most_places, other.most_places) if part is not None]
        return RuleFigures(
            self.name,
            self.kind,
            rows=self.rows + other.rows,
            n_in=self.n_in + other.n_in,
            removed=self.removed + other.removed,
            relaxed=self.relaxed + other.relaxed,
            moved=sum(moved) if moved else None,
            most_places=max(places) if places else None,
            failed_rows=self.failed_rows + other.failed_rows,
        )


@dataclass(frozen=True, repr=False)
class RulesReport(Report):
    """What the rules did; prints as a table, and as HTML in a notebook.

    Parameters
    ----------
    rules : tuple of RuleFigures
        In the order in which they ran.
    requests : int
        Requests of the run.
    items : int
        Items that the lists hold in the end.
    """

    rules: tuple[RuleFigures, ...]
    requests: int
    items: int

    def __getitem__(self, name: str) -> RuleFigures:
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise ConfigurationError(
            f"found no rule {name!r}; expected one of {', '.join(rule.name for rule in self.rules)}"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw what each rule took, as a share of what it was asked about, or the lists in which it yielded.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.bars import draw_bars
        from recokit._utils.plots.style import ACCENT, MAIN, title

        shares = [rule.removed / rule.n_in if rule.n_in else 0.0 for rule in self.rules]
        labels = [_told(rule, share) for rule, share in zip(self.rules, shares, strict=True)]
        colours = [ACCENT if rule.failed_rows else MAIN for rule in self.rules]
        ax = draw_bars([rule.name for rule in self.rules], shares, ax, labels=labels, colours=colours)
        title(ax, f"What each rule took, {self.requests:,} requests")
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for JSON."""
        return {
            "requests": self.requests,
            "items": self.items,
            "rules": [asdict(rule) for rule in self.rules],
        }

    def __repr__(self) -> str:
        return f"RulesReport({len(self.rules)} rules, {self.requests} requests)"

    def _content(self) -> Content:
        rows = [tuple(_cells(rule)) for rule in self.rules]
        return Content("Rules", [Table(_HEADER, rows)], f"{self.requests} requests, {self.items} items shown")


def _cells(rule: RuleFigures) -> Iterable[str]:
    judges = rule.kind in ("filter", "check")
    yield rule.name
    yield rule.kind
    yield str(rule.rows)
    yield str(rule.n_in) if rule.n_in else ""
    yield str(rule.removed) if judges else ""
    yield f"{rule.removed / rule.n_in:.1%}" if judges and rule.n_in else ""
    yield str(rule.relaxed) if rule.kind == "limit" else ""
    yield "" if rule.moved is None else str(rule.moved)
    yield "" if rule.most_places is None else str(rule.most_places)
    yield str(rule.failed_rows) if rule.failed_rows else ""


def report(run: Any) -> RulesReport:
    """Sum up what each rule did in a run.

    Parameters
    ----------
    run : Trace, Recommendations or sequence of Trace
        With ``capture="full"`` it also says how many candidates each scorer moved, and how far.

    Returns
    -------
    RulesReport

    Raises
    ------
    ConfigurationError
        If it is none of these, or has no trace.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates, rules
    >>> pipeline = rk.Pipeline([candidates.Popular(half_life=None), rules.Where("item.price < 20")])
    >>> result = pipeline.fit(rk.testing.toy_dataset()).recommend([None], k=3, now=2e9)
    >>> report(result)["where"].n_in
    30
    """
    traces: Sequence[Any] = (run,) if isinstance(run, Trace) else run
    if isinstance(run, Recommendations):
        traces = run.traces
    if (
        not isinstance(traces, list | tuple)
        or not traces
        or not all(isinstance(part, Trace) for part in traces)
    ):
        raise ConfigurationError(f"found {run!r}; expected a trace, or recommendations with one")
    figures: dict[tuple[str, str], RuleFigures] = {}
    for trace in traces:
        for event in trace.events:
            for figure in _figures(event):
                key = (figure.name, figure.kind)
                figures[key] = figures[key] + figure if key in figures else figure
    return RulesReport(
        tuple(figures.values()),
        sum(len(trace.requests) for trace in traces),
        sum(len(trace.selected) for trace in traces),
    )


def _figures(event: StageEvent) -> Iterable[RuleFigures]:
    failed = len(event.failed_rows)
    if event.role == "filter":
        yield RuleFigures(event.name, "filter", event.n_rows, event.n_in, event.removed, failed_rows=failed)
    elif event.role == "annotator" and (event.removed or failed):
        yield RuleFigures(event.name, "check", event.n_rows, event.n_in, event.removed, failed_rows=failed)
    elif event.role == "selection":
        for name, rows in event.detail.get("relaxed", {}).items():
            yield RuleFigures(name, "limit", event.n_rows, relaxed=int(rows))
    elif event.role == "scorer":
        places = _moved(event.before, event.after)
        moved = None if places is None else int(np.count_nonzero(places))
        yield RuleFigures(
            event.name,
            "scorer",
            event.n_rows,
            event.n_in,
            moved=moved,
            most_places=None if places is None else int(places.max(initial=0)),
            failed_rows=failed,
        )


def _moved(before: Candidates | None, after: Candidates | None) -> IntArray | None:
    """Return by how many places each candidate moved, (N,); None where the batches were not kept."""
    if before is None or after is None:
        return None
    places = []
    for batch in (before, after):
        place = np.empty(len(batch), np.int64)
        place[order_by_score(batch.row, batch.score)] = np.arange(len(batch))
        places.append(place)
    return np.asarray(np.abs(places[0] - places[1]))


def _told(rule: RuleFigures, share: float) -> str:
    """Return what a rule did, in a few words."""
    parts = [f"{share:.1%} of {rule.n_in:,}"] if rule.n_in else []
    parts += [f"yielded in {rule.relaxed:,} lists"] if rule.relaxed else []
    parts += [f"moved {rule.moved:,}"] if rule.moved else []
    parts += [f"failed on {rule.failed_rows:,} requests"] if rule.failed_rows else []
    return ", ".join(parts) or rule.kind
