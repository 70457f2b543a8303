"""RequestPage: one request, from the first candidate to the list, as a page that can be sent to somebody."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recokit._utils.report import json_number, json_ready, page, table, text
from recokit.data import Candidates
from recokit.debugger.captured import ranked_batch
from recokit.debugger.diagnosis import Diagnosis
from recokit.errors import ConfigurationError, DataError
from recokit.trace import StageEvent, Status, Trace
from recokit.typing import BoolArray, FloatArray

#: Features in the plot: those in which shown items differ most from the rest.
_FEATURES = 15


#: The colour of each fate.
_FATES = {"shown": "good", "not selected": "warn", "removed": "bad", "not retrieved": "bad"}

#: Of the figures, in a page and in a notebook.
_FIGURES = """<style>
.rk svg{display:block;max-width:60em;overflow:visible;margin:.2em 0 .8em}
.rk svg text{font:12px system-ui,sans-serif;fill:currentColor}
.rk svg rect{fill:light-dark(#3b6fb6,#7fb0f0)}
.rk svg .other{fill:light-dark(#8a939d,#7d8791)}.rk svg .hit{fill:light-dark(#1a7f37,#6fdd8b)}
.rk .scroll{overflow-x:auto}.rk h2{font-size:1.15em;margin:1.4em 0 .4em;text-align:left}
</style>"""


_STYLE = """<style>
:root{color-scheme:light dark}
body{margin:0 auto;padding:1.5em;max-width:72em;background:light-dark(#fff,#14171a);color:light-dark(#1b1f24,#e6e8eb)}
.rk{max-width:none}.rk h1{font-size:1.5em;margin:0}
.rk caption{color:light-dark(#59636e,#9aa4af);padding:.3em 0}
.rk input{font:inherit;color:inherit;background:transparent;padding:.3em .5em;max-width:100%;box-sizing:border-box;
border:1px solid light-dark(#6b7580,#8a939d)}
.rk input:focus-visible{outline:3px solid light-dark(#3b6fb6,#7fb0f0)}
@media (max-width:30em){body{padding:.7em}.rk svg text{font-size:11px}.rk h1{font-size:1.25em}}
@media print{.rk .find{display:none}body{max-width:none;padding:0}
.rk tr,.rk svg{break-inside:avoid}.rk h2{break-after:avoid}}
</style>"""


_SCRIPT = """<script>
const box=document.getElementById("find"),rows=[...document.querySelectorAll("#items tbody tr")];
const n=document.getElementById("found");
function find(){const q=box.value.trim().toLowerCase();let k=0;
for(const r of rows){r.hidden=q!==""&&!r.textContent.toLowerCase().includes(q);k+=!r.hidden}
n.textContent=k+" of "+rows.length+" items"}
box.addEventListener("input",find);find();
</script>"""


#: Nothing may be loaded from anywhere: the page is all there is.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, eq=False, repr=False)
class RequestPage:
    """One request of a captured run, with the debugger's findings, as a page or as JSON.

    The page is one file without any request to a network. It has the list, and what it would be with parts of the
    baseline, the funnel, the time of each stage, the scores, how
    the features of shown items differ from the rest, and the fate of every candidate, with a search. It can be read
    by a screen reader, in light and dark, and printed.

    Parameters
    ----------
    trace : Trace
        Of a run with ``capture="full"``.
    diagnosis : Diagnosis, optional
        Its findings stand on top.
    row : int, default 0
        Which request of the run.
    instead : mapping of str to sequence of item ids, optional
        Lists that the request would have got otherwise, by how; :meth:`RecommendationDebugger.page` makes them.

    Raises
    ------
    ConfigurationError
        If the run was not captured.
    DataError
        If there is no such row.

    Examples
    --------
    >>> import recokit as rk
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(rk.testing.toy_dataset())
    >>> result = pipeline.recommend([None], k=3, now=2e9, capture="full")
    >>> shown = RequestPage(result.trace)
    >>> [item["position"] for item in shown.to_dict()["items"][:3]]
    [1, 2, 3]
    """

    trace: Trace
    diagnosis: Diagnosis | None = None
    row: int = 0
    instead: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if all(event.after is None for event in self.trace.events):
            raise ConfigurationError("found a trace without batches; expected a run with capture='full'")
        if not 0 <= self.row < len(self.trace.requests):
            raise DataError(f"found row {self.row}; expected 0 to {len(self.trace.requests) - 1}")

    @property
    def user(self) -> str:
        """The user, as text."""
        users = self.trace.users
        return "an anonymous user" if users is None or users[self.row] is None else f"user {users[self.row]}"

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """The fate of every item that any stage had, the list first, then by rank."""
        fates: list[dict[str, Any]] = []
        titles = self.trace.item_titles
        for code, item_id in zip(self._codes, self._ids, strict=True):
            location = self.trace.locate(self.row, code)
            title = {} if titles is None else {"title": titles[code]}
            fates.append({"item": item_id, **title, **asdict(location), "sources": dict(location.sources)})
        last = len(fates) + 1
        return sorted(fates, key=lambda one: (one["position"] or last, one["rank"] or last, str(one["item"])))

    @cached_property
    def steps(self) -> list[dict[str, Any]]:
        """Each stage: candidates of this request before and after, start and duration in milliseconds."""
        return [
            {
                "name": event.name,
                "role": event.role,
                "n_in": _n_in(event, self.row),
                "n_out": _n_out(event, self.row),
                "start_ms": 1e3 * event.started,
                "ms": 1e3 * event.seconds,
                "note": (event.error if self.row in event.failed_rows else "") or event.skipped,
            }
            for event in self.trace.events
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all that the page shows, as plain values."""
        names, differences, coverage = self._features
        return {
            "user": self.user,
            "status": Status(int(self.trace.status[self.row])).name,
            "reasons": list(self.trace.reasons[self.row]),
            "seconds": self.trace.seconds,
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_dict(),
            "funnel": self.steps,
            "features": [
                {"name": name, "difference": json_number(a), "coverage": json_number(b)}
                for name, a, b in zip(names, differences, coverage, strict=True)
            ],
            "items": self.items,
            "instead": {name: list(items) for name, items in self.instead.items()},
        }

    def to_json(self) -> str:
        """Return the same as JSON text."""
        return json.dumps(json_ready(self.to_dict()), indent=1, allow_nan=False)

    def save(self, path: str | Path) -> None:
        """Write the page, or the JSON if the name ends in ``.json``."""
        path = Path(path)
        path.write_text(self.to_json() if path.suffix == ".json" else self.to_html(), encoding="utf-8")

    def to_html(self) -> str:
        """Return the page."""
        title = f"What happened for {self.user}"
        parts = (
            self._summary(),
            self._lists(),
            self._funnel(),
            self._scores(),
            self._feature_plot(),
            self._fates(),
        )
        fragment = page(title, "".join(parts)).replace("<h4>", "<h1>").replace("</h4>", "</h1>")
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
            f"{_STYLE}{_FIGURES}</head><body><main>{fragment}</main>{_SCRIPT}</body></html>"
        )

    def _repr_html_(self) -> str:
        return _FIGURES + page(
            f"What happened for {self.user}", self._summary() + self._funnel() + self._scores()
        )

    def __repr__(self) -> str:
        return f"RequestPage({self.user}, {len(self._codes)} items, {len(self.steps)} stages)"

    # -- parts of the page -------------------------------------------------------------------------

    def _summary(self) -> str:
        status = Status(int(self.trace.status[self.row])).name
        answer = f"<p>Answered {text(status)} in {1e3 * self.trace.seconds:.1f} ms"
        n_rows = len(self.trace.requests)
        answer += f", as one of a batch of {n_rows} requests" if n_rows > 1 else ""
        reasons = "; ".join(self.trace.reasons[self.row])
        answer += f": {text(reasons)}</p>" if reasons else "</p>"
        if self.diagnosis is None:
            return answer
        kind = "bad" if self.diagnosis.is_ill else "good"
        verdict = f'<p class="{kind}"><b>{text(self.diagnosis.verdict)}</b> {text(self.diagnosis.action)}</p>'
        rows = [
            (one.severity.name.lower(), one.code, one.stage, one.message, one.action)
            for one in self.diagnosis.findings
        ]
        findings = table(("severity", "finding", "stage", "what", "action"), rows) if rows else ""
        return f"{answer}<h2>Diagnosis</h2>{verdict}{_scroll(findings)}"

    def _lists(self) -> str:
        """Return the list as shown beside those that it would be otherwise, with the items that differ marked."""
        shown = [one["item"] for one in self.items if one["position"]]
        if not shown and not self.instead:
            return ""
        columns = {"shown": shown, **self.instead}
        rows = [
            (
                place + 1,
                *(self._titled(items[place]) if place < len(items) else "" for items in columns.values()),
            )
            for place in range(max(map(len, columns.values())))
        ]
        lists = table(("place", *columns), rows)
        new = {self._titled(item) for items in self.instead.values() for item in items if item not in shown}
        for title in new:
            cell = f">{text(title)}</td>"
            lists = lists.replace(cell, f'><span class="good">{text(title)}</span></td>')
        note = "<p>Green items are not on the list as shown.</p>" if new else ""
        return f"<h2>The list</h2>{note}{_scroll(lists)}"

    def _titled(self, item: Any) -> str:
        """Return an item as people know it: by title, where there is one, with its id."""
        return self._shown_as({"item": item, "title": self._titles.get(item)})

    @cached_property
    def _titles(self) -> dict[Any, Any]:
        titles, ids = self.trace.item_titles, self.trace.item_ids
        if titles is None or ids is None:
            return {}
        listed = [item for items in self.instead.values() for item in items]
        known = {one["item"]: one.get("title") for one in self.items}
        more = [item for item in listed if item not in known]
        codes: list[int] = ids.encode(more).tolist() if more else []
        return {**known, **{item: titles[code] for item, code in zip(more, codes, strict=True)}}

    def _funnel(self) -> str:
        names = [step["name"] for step in self.steps]
        left = [float(step["n_out"]) for step in self.steps]
        notes = [f"{step['n_in']:,} to {step['n_out']:,}" for step in self.steps]
        funnel = narrowing("Candidates left after each stage", names, left, notes)
        times = [f"{step['ms']:.2f} ms" for step in self.steps]
        start, length = ([step[key] for step in self.steps] for key in ("start_ms", "ms"))
        waterfall = spans("When each stage ran, and for how long", names, start, length, notes=times)
        rows = [
            (s["name"], s["role"], s["n_in"], s["n_out"], f"{s['ms']:.2f}", s["note"]) for s in self.steps
        ]
        numbers = table(("stage", "role", "in", "out", "ms", "note"), rows)
        return f"<h2>Funnel</h2>{funnel}<h2>Time</h2>{waterfall}<h2>Stages in numbers</h2>{_scroll(numbers)}"

    def _scores(self) -> str:
        batch = self._ranked
        score = np.zeros(0) if batch is None else np.asarray(batch.score, np.float64)
        known = np.isfinite(score)
        if batch is None or not known.any():
            return "<h2>Scores</h2><p>No candidate was scored.</p>"
        title = f"Scores of {int(known.sum())} candidates in falling order; large green points are shown"
        return f"<h2>Scores</h2><p>{title}.</p>{points(title, score[known], self._is_shown[known])}"

    def _feature_plot(self) -> str:
        names, differences, coverage = self._features
        if not names:
            return ""
        order = np.argsort(-np.abs(np.nan_to_num(differences)), kind="stable")[:_FEATURES]
        title = "Mean of what is shown, less that of the other candidates, in standard deviations"
        plot = bars(
            title,
            [names[i] for i in order],
            [float(np.nan_to_num(differences[i])) for i in order],
            [f"{differences[i]:+.2f}, {coverage[i]:.0%} known" for i in order],
        )
        return f"<h2>Features</h2><p>{title}.</p>{plot}"

    def _fates(self) -> str:
        rows = [
            (
                self._shown_as(one),
                one["position"] or "",
                one["rank"] or "",
                ", ".join(f"{name} {rank or ''}".strip() for name, rank in one["sources"].items()),
                one["fate"],
                one["stage"] + (f" ({one['error']})" if one["error"] else ""),
            )
            for one in self.items
        ]
        fates = table(("item", "place", "rank by score", "sources and places", "fate", "decided by"), rows)
        start = '<table class="wide">' if fates.startswith('<table class="wide">') else "<table>"
        caption = "<caption>Every item that a stage had</caption>"
        fates = fates.replace(start, f'{start[:-1]} id="items">{caption}', 1)
        for fate, kind in _FATES.items():
            fates = fates.replace(f">{fate}</td>", f'><span class="{kind}">{fate}</span></td>')
        search = (
            '<p class="find"><label for="find">Search by item, source or stage</label> '
            '<input id="find" type="search" autocomplete="off"> <span id="found" aria-live="polite"></span></p>'
        )
        return f"<h2>Items</h2>{search}{_scroll(fates)}"

    def _shown_as(self, one: Mapping[str, Any]) -> str:
        title = one.get("title")
        return str(one["item"]) if not title else f"{title} ({one['item']})"

    # -- figures -----------------------------------------------------------------------------------

    @cached_property
    def _codes(self) -> list[int]:
        batches = [
            batch for event in self.trace.events for batch in (event.before, event.after) if batch is not None
        ]
        rows = [batch.item[batch.offsets[self.row] : batch.offsets[self.row + 1]] for batch in batches]
        codes: list[int] = np.unique(np.concatenate(rows)).tolist()
        return codes

    @cached_property
    def _ids(self) -> list[Any]:
        if self.trace.item_ids is None:
            return list(self._codes)
        return list(self.trace.item_ids.decode(np.array(self._codes, np.int64)).tolist())

    @cached_property
    def _ranked(self) -> Candidates | None:
        batch = ranked_batch(self.trace)
        return None if batch is None else batch.compress(batch.row == self.row)

    @cached_property
    def _is_shown(self) -> Any:
        chosen = self.trace.selected
        mine = chosen.item[chosen.offsets[self.row] : chosen.offsets[self.row + 1]]
        return np.zeros(0, np.bool_) if self._ranked is None else np.isin(self._ranked.item, mine)

    @cached_property
    def _features(self) -> tuple[list[str], FloatArray, FloatArray]:
        """Names, standardised differences and share of known values of the features."""
        batch, shown = self._ranked, self._is_shown
        if batch is None or not batch.feature_names or not shown.any() or shown.all():
            return [], np.zeros(0), np.zeros(0)
        values = np.asarray(batch.features, np.float64)
        known = np.isfinite(values)
        means = []
        for part in (shown, ~shown):
            n = known[part].sum(axis=0)
            means.append(np.where(known, values, 0.0)[part].sum(axis=0) / np.where(n > 0, n, np.nan))
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, values, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / count)
        difference = (means[0] - means[1]) / np.where(spread > 0, spread, np.nan)
        return list(batch.feature_names), difference, known.mean(axis=0)


def _n_in(event: StageEvent, row: int) -> int:
    if event.before is not None:
        return int(event.before.counts[row])
    return int(event.detail["n_in_by_row"][row]) if "n_in_by_row" in event.detail else 0


def _n_out(event: StageEvent, row: int) -> int:
    if event.kept is not None and event.before is not None:  # its own decision, not that of its group
        return int(np.count_nonzero(event.kept[event.before.offsets[row] : event.before.offsets[row + 1]]))
    if event.after is not None:
        return int(event.after.counts[row])
    return int(event.detail["n_out_by_row"][row]) if "n_out_by_row" in event.detail else 0


def _scroll(inner: str) -> str:
    """Return a wide table in a frame that scrolls by keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table">{inner}</div>' if inner else ""


#: Pixels of a line of text and its bar.
_ROW = 36


def bars(title: str, names: Sequence[str], values: Sequence[float], notes: Sequence[str]) -> str:
    """Return one bar a name, from zero; negative values go to the left of a line in the middle."""
    signed = min(values, default=0.0) < 0
    longest = max((abs(value) for value in values if np.isfinite(value)), default=0.0) or 1.0
    zero, space = (50.0, 50.0) if signed else (0.0, 100.0)
    marks = []
    for row, (name, value, note) in enumerate(zip(names, values, notes, strict=True)):
        length = space * abs(value) / longest if np.isfinite(value) else 0.0
        marks.append(_line(row, name, zero - (length if value < 0 else 0.0), length, note))
    return _frame(title, "".join(marks), len(names) * _ROW)


def narrowing(title: str, names: Sequence[str], values: Sequence[float], notes: Sequence[str]) -> str:
    """Return a funnel: one bar a name, in the middle, by the root of its value, so that small ones can be seen."""
    largest = max(values, default=0.0) or 1.0
    marks = [
        _line(row, name, 50 * (1 - (value / largest) ** 0.5), 100 * (value / largest) ** 0.5, note)
        for row, (name, value, note) in enumerate(zip(names, values, notes, strict=True))
    ]
    return _frame(title, "".join(marks), len(names) * _ROW)


def spans(
    title: str, names: Sequence[str], start: Sequence[float], length: Sequence[float], *, notes: Sequence[str]
) -> str:
    """Return one bar a name, from its start to its end: a waterfall."""
    end = max((a + b for a, b in zip(start, length, strict=True)), default=0.0) or 1.0
    marks = [
        _line(row, name, 100 * a / end, 100 * b / end, note)
        for row, (name, a, b, note) in enumerate(zip(names, start, length, notes, strict=True))
    ]
    return _frame(title, "".join(marks), len(names) * _ROW)


def points(title: str, values: FloatArray, marked: BoolArray) -> str:
    """Return values (N,) in falling order as points; marked ones are filled and larger."""
    height = 180.0
    order = np.argsort(-values, kind="stable")
    values, marked = values[order], marked[order]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    x = 16 + 82 * np.arange(len(values)) / max(len(values) - 1, 1)
    y = 10 + (height - 20) * (high - values) / (high - low if high > low else 1.0)
    dots = "".join(
        f'<circle class="{"hit" if hit else "other"}" cx="{a:.2f}%" cy="{b:.1f}" r="{4 if hit else 2}"/>'
        for a, b, hit in zip(x.tolist(), y.tolist(), marked.tolist(), strict=True)
    )
    axis = f'<text x="0" y="16">{high:.4g}</text><text x="0" y="{height - 6}">{low:.4g}</text>'
    return _frame(title, axis + dots, height + 10)


def _line(row: int, name: str, x: float, length: float, note: str) -> str:
    """Return a name, its note at the right, and below them a bar; in percent, so that text keeps its size."""
    y = row * _ROW
    return (
        f'<text x="0" y="{y + 14}">{text(name[:32])}</text>'
        f'<text x="100%" y="{y + 14}" text-anchor="end">{text(note)}</text>'
        f'<rect x="{x:.2f}%" y="{y + 19}" width="{max(length, 0.3):.2f}%" height="10"/>'
    )


def _frame(title: str, marks: str, height: float) -> str:
    return f'<svg role="img" aria-label="{text(title)}" width="100%" height="{height:.0f}">{marks}</svg>'
