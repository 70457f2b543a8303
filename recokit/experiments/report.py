"""ExperimentReport: what an experiment showed, as text, page, plot and JSON, and what to do."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table, json_ready
from recokit.errors import DataError, did_you_mean
from recokit.experiments.decision import Decision, decide, moved
from recokit.experiments.effects import Curve, Effect, Guarded
from recokit.experiments.forecast import Forecast, forecasts
from recokit.experiments.heterogeneity import Novelty, Spread
from recokit.experiments.readings import Reading
from recokit.experiments.splits import Split

#: Of a change over segments or days that is worth a line.
_NOTABLE = 0.01


@dataclass(frozen=True, eq=False, repr=False)
class ExperimentReport(Report):
    """What an experiment showed; nothing where its split is broken.

    ``report["revenue"]`` is the effect on a metric, ``report.decision`` what to do.

    Parameters
    ----------
    experiment, primary : str
    reading : Reading
    arms : tuple of str
        The control first.
    splits : tuple of Split
        Of all units, and of parts.
    effects : tuple of Effect
        Of each treatment on the primary metric.
    others : tuple of Effect
        On the other metrics.
    guarded : tuple of Guarded
    curves : tuple of Curve
    spreads : tuple of Spread
        By segment.
    novelty : tuple of Novelty
    notes : tuple of str
        What was left out.
    until : float
        Time of the last look.
    days_left : float
    done : bool
        Whether the planned end is reached.
    forecast : tuple of Forecast
        What was expected beforehand.
    """

    experiment: str
    primary: str
    reading: Reading
    arms: tuple[str, ...]
    splits: tuple[Split, ...]
    notes: tuple[str, ...] = ()
    until: float = math.nan
    effects: tuple[Effect, ...] = ()
    others: tuple[Effect, ...] = ()
    guarded: tuple[Guarded, ...] = ()
    curves: tuple[Curve, ...] = ()
    spreads: tuple[Spread, ...] = ()
    novelty: tuple[Novelty, ...] = ()
    days_left: float = math.nan
    done: bool = True
    forecast: tuple[Forecast, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether the split is broken, and nothing can be read."""
        return any(split.is_broken for split in self.splits)

    @cached_property
    def decision(self) -> Decision:
        """What to do, and why."""
        return decide(self.splits, self.effects, self.guarded, days_left=self.days_left, done=self.done)

    def __getitem__(self, name: str | tuple[str, str]) -> Effect:
        """Return the effect on a metric: of the only treatment, or of one by ``report["revenue", "new"]``.

        Raises
        ------
        DataError
            If the split is broken, or there is no such metric or arm.
        """
        if self.is_broken:
            raise DataError(
                f"found a broken split; expected a fair one before anything is read: {self.decision}"
            )
        metric, arm = name if isinstance(name, tuple) else (name, self.arms[1])
        if not isinstance(name, tuple) and len(self.arms) > 2:
            raise DataError(
                f"found {len(self.arms) - 1} treatments; expected one; hint: report[{name!r}, {arm!r}]"
            )
        every = [*self.effects, *self.others]
        for effect in every:
            if (effect.metric, effect.arm) == (metric, arm):
                return effect
        known = [effect.metric for effect in every]
        raise DataError(f"found no effect of {arm!r} on {metric!r}; {did_you_mean(metric, known)}")

    def beside(self, forecast: Any) -> ExperimentReport:
        """Return the report with what an off-policy estimate had forecast, beside what was measured.

        Parameters
        ----------
        forecast : OffPolicyReport or mapping of str to (float, float, float)
            As :func:`recokit.off_policy.counterfactual` returns it, or lifts with low and high ends by name.
        """
        return replace(self, forecast=tuple(forecasts(forecast, self.effects)))

    # -- forms ----------------------------------------------------------------------------------------

    def _content(self) -> Content:
        title = (
            f"Experiment {self.experiment}".strip() + f": {', '.join(self.arms[1:])} against {self.arms[0]}"
        )
        verdict = self.decision.verdict
        good = {"ship": True, "cannot tell yet": None}.get(verdict, False)
        summary = str(self.decision)
        if self.is_broken:
            return Content(title, [self.split_table()], summary=summary, notes=self.notes, good=False)
        tables = [self.effect_table()]
        if self.guarded:
            tables.append(self.guard_table())
        if self.spreads:
            tables.append(self.segment_table())
        if self.forecast:
            tables.append(self.forecast_table())
        tables.append(self.split_table())
        notes = [f"Read at {self.reading}; until {_date(self.until)}", *self.notes, *self._remarks()]
        return Content(title, tables, summary=summary, notes=notes, good=good)

    def effect_table(self) -> Table:
        """Return the effects as a table."""
        rows = [
            [
                effect.metric, effect.arm, f"{effect.difference.control.value:.4g}",
                f"{effect.difference.treatment.value:.4g}", moved(effect), _p(effect.p_value), effect.finding,
            ]
            for effect in (*self.effects, *self.others)
        ]  # fmt: skip
        return Table(("metric", "arm", self.arms[0], "arm's", "effect", "p", "finding"), rows)

    def guard_table(self) -> Table:
        """Return the guardrails as a table."""
        rows = []
        for one in self.guarded:
            loss, low, high = one.loss
            form = "+.1%" if one.relative else "+.4g"
            rows.append(
                [one.name, one.effect.arm, f"{loss:{form}} [{low:{form}}, {high:{form}}]", f"{one.margin:{form}}",
                 one.held]
            )  # fmt: skip
        return Table(("guardrail", "arm", "worse by", "accepted", "finding"), rows)

    def segment_table(self) -> Table:
        """Return the effects by segment as a table."""
        rows = [
            [effect.part, effect.arm, f"{effect.difference.control.n + effect.difference.treatment.n:,.0f}",
             moved(effect), _p(effect.p_value)]
            for spread in self.spreads
            for effect in spread.effects
        ]  # fmt: skip
        return Table(("segment", "arm", "units", "effect", "p"), rows)

    def split_table(self) -> Table:
        """Return the split of all units, and of parts that are broken."""
        shown = [split for split in self.splits if split.part == "all" or split.is_broken]
        rows = [
            [
                split.part,
                *(f"{n:,}" for n in split.counts),
                _p(split.p_value),
                "broken" if split.is_broken else "fair",
            ]
            for split in shown
        ]
        return Table(("split", *self.arms, "p", "finding"), rows)

    def forecast_table(self) -> Table:
        """Return what was forecast beside what was measured."""
        rows = [
            [one.estimator, one.arm, _span(one.forecast), _span(one.measured), "yes" if one.agree else "no"]
            for one in self.forecast
        ]
        return Table(("forecast by", "arm", "forecast", "measured", "agree"), rows)

    def _remarks(self) -> list[str]:
        """Return what else one should know."""
        remarks = [
            f"the effect differs between segments of {spread.column} (p = {_p(spread.p_value)})"
            for spread in self.spreads
            if spread.p_value < _NOTABLE
        ]
        for one in self.novelty:
            if one.p_value < _NOTABLE:
                fades = one.slope * one.differences[0].value < 0
                remarks.append(
                    f"the effect of {one.arm} {'fades' if fades else 'grows'} with the days since the first exposure "
                    f"(p = {_p(one.p_value)})"
                )
        return remarks + [
            f"{curve.arm} had crossed its boundary on {_date(curve.crossed)}"
            for curve in self.curves
            if curve.crossed is not None and curve.crossed < curve.times[-1]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {
            "experiment": self.experiment,
            "arms": list(self.arms),
            "primary": self.primary,
            "reading": repr(self.reading),
            "until": json_ready(self.until),
            "decision": {**json_ready(vars(self.decision)), "words": str(self.decision)},
            "splits": [json_ready({**vars(split), "broken": split.is_broken}) for split in self.splits],
            "effects": [_effect(effect) for effect in (*self.effects, *self.others)],
            "guardrails": [
                {**_effect(one.effect), "name": one.name, "margin": one.margin, "relative_margin": one.relative,
                 "held": one.held}
                for one in self.guarded
            ],
            "segments": [
                {"column": spread.column, "p_value": json_ready(spread.p_value),
                 "effects": [_effect(effect) for effect in spread.effects]}
                for spread in self.spreads
            ],
            "curves": [_curve(curve) for curve in self.curves],
            "novelty": [
                json_ready({"arm": one.arm, "slope": one.slope, "p_value": one.p_value,
                            "effects": [difference.value for difference in one.differences]})
                for one in self.novelty
            ],
            "forecast": [json_ready({**vars(one), "agree": one.agree}) for one in self.forecast],
            "notes": list(self.notes),
        }  # fmt: skip

    def to_json(self, path: str | Path | None = None) -> str:
        """Return everything as JSON, and write it to a file if a path is given."""
        text = json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=1)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """Return one page that needs nothing else: forest plot, curve, guardrails, segments, split."""
        from recokit.experiments.page import page_of

        text: str = page_of(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def plot(self, ax: Any = None) -> Any:
        """Draw the relative effects with their intervals, in percent.

        Raises
        ------
        DataError
            If the split is broken.
        ConfigurationError
            Without matplotlib.
        """
        if self.is_broken:
            raise DataError(
                f"found a broken split; expected a fair one before anything is drawn: {self.decision}"
            )
        from recokit._utils.plots.intervals import draw_intervals
        from recokit._utils.plots.style import title

        every = (*self.effects, *self.others)
        names = list(dict.fromkeys(effect.metric for effect in every))
        series = {arm: np.array([_percent(every, name, arm) for name in names]) for arm in self.arms[1:]}
        drawn = draw_intervals(series, names, "effect, %", ax, reference=0.0, form="+.2f")
        title(drawn, str(self.decision))
        return drawn

    def plot_boundary(self, arm: str | None = None, ax: Any = None) -> Any:
        """Draw an arm's effect on the primary metric at each look, inside the boundary at which it would count.

        Parameters
        ----------
        arm : str, optional
            The first treatment by default.
        ax : matplotlib Axes, optional
            A new figure by default.

        Raises
        ------
        DataError
            If the split is broken, or there is no such arm.
        ConfigurationError
            Without matplotlib.
        """
        from recokit._utils.plots.curves import draw_boundary
        from recokit._utils.plots.style import title

        arm = self.arms[1] if arm is None else arm
        found = [curve for curve in self.curves if curve.arm == arm]
        if self.is_broken or not found:
            why = str(self.decision) if self.is_broken else f"no looks at {arm!r}"
            raise DataError(f"found {why}; expected a fair split, and one of {', '.join(self.arms[1:])}")
        curve = found[0]
        days = [(time - curve.times[0]) / 86_400 + 1 for time in curve.times]
        value = np.array([one.value for one in curve.differences])
        error = np.array([one.error for one in curve.differences])
        drawn = draw_boundary(days, value, np.array(curve.reaches) * error, f"effect on {self.primary}", ax)
        title(drawn, f"{arm} against {self.arms[0]}, look by look")
        return drawn


def _percent(effects: Sequence[Effect], metric: str, arm: str) -> tuple[float, float, float]:
    for effect in effects:
        if (effect.metric, effect.arm) == (metric, arm):
            low, high = effect.relative_interval
            return 100 * effect.relative, 100 * low, 100 * high
    return math.nan, math.nan, math.nan


def _effect(effect: Effect) -> Mapping[str, Any]:
    ready: Mapping[str, Any] = json_ready(
        {
            "metric": effect.metric, "arm": effect.arm, "part": effect.part,
            "control": effect.difference.control.value, "treatment": effect.difference.treatment.value,
            "difference": effect.value, "error": effect.difference.error, "interval": effect.interval,
            "relative": effect.relative, "relative_interval": effect.relative_interval,
            "p_value": effect.p_value, "finding": effect.finding,
        }
    )  # fmt: skip
    return ready


def _curve(curve: Curve) -> Mapping[str, Any]:
    ready: Mapping[str, Any] = json_ready(
        {
            "arm": curve.arm, "times": curve.times, "difference": [one.value for one in curve.differences],
            "error": [one.error for one in curve.differences], "reach": curve.reaches, "crossed": curve.crossed,
        }
    )  # fmt: skip
    return ready


def _p(p_value: float) -> str:
    return "-" if math.isnan(p_value) else "<0.0001" if p_value < 1e-4 else f"{p_value:.4f}"


def _span(span: tuple[float, float, float]) -> str:
    return f"{span[0]:+.1%} [{span[1]:+.1%}, {span[2]:+.1%}]"


def _date(time: float) -> str:
    if not math.isfinite(time):
        return "its end"
    return dt.datetime.fromtimestamp(time, dt.UTC).strftime("%Y-%m-%d")
