"""Analysis: from the log of exposures and the events to a report that may be acted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._stats.differences import Difference
from recokit._stats.intervals import benjamini_hochberg, holm
from recokit._stats.moments import Estimate
from recokit._utils.options import share
from recokit.data.frames import Frame
from recokit.data.times import DAY, timestamp
from recokit.errors import ConfigurationError, DataError
from recokit.experiments.effects import Curve, Effect, Guarded
from recokit.experiments.exposures import read_log
from recokit.experiments.heterogeneity import Novelty, Spread, novelty, spread
from recokit.experiments.metrics import Metric, NotWorse, as_metric
from recokit.experiments.readings import Fixed, Look, Read, Reading
from recokit.experiments.report import ExperimentReport
from recokit.experiments.sample import Sample
from recokit.experiments.splits import splits
from recokit.experiments.units import Units
from recokit.typing import BoolArray

#: Looks of a curve at most; more are thinned out.
_MOST_LOOKS = 400


def analyze(
    log: Any,
    events: Any,
    *,
    primary: Metric | str,
    metrics: Sequence[Metric | str] = (),
    guardrails: Sequence[NotWorse] = (),
    reading: Reading | None = None,
    segments: Sequence[str] = (),
    users: Any = None,
    cluster: str | None = None,
    experiment: str | None = None,
    control: str | None = None,
    weights: dict[str, float] | None = None,
    before: str | float = "28D",
    until: Any = None,
    triggered: bool = False,
) -> ExperimentReport:
    """Analyze an experiment: what each arm does to the primary metric, whether guardrails hold, and what to do.

    Where the arms do not have the units that they should have, nothing is estimated and the report says so.

    Parameters
    ----------
    log : path, dataframe, mapping or list of rows
        Exposures: ``unit``, ``arm``, ``timestamp``; what :class:`Exposures` wrote.
    events : path, dataframe, mapping or list of rows
        What units did: ``unit`` or ``user_id``, ``timestamp``, and columns of numbers, or types in ``event``.
    primary : Metric or str
        What decides: a name is the mean of that column over units.
    metrics : sequence of Metric or str, optional
        Others to report, corrected for their number (Benjamini-Hochberg).
    guardrails : sequence of NotWorse, optional
        What may not get worse; see :func:`guardrails`.
    reading : Reading, optional
        :class:`Fixed` by default; :class:`GroupSequential` or :class:`Anytime` where one looks more than once.
    segments : sequence of str, optional
        Columns of ``users``, or of the log, to split the primary metric by.
    users : dataframe or mapping, optional
        A row for each unit: covariates, segments and clusters known beforehand.
    cluster : str, optional
        Column with what was randomised as a whole, such as households.
    experiment, control, weights
        As of :meth:`Units.of`.
    before : duration, default "28D"
        How far covariates from before the first exposure look back.
    until : date, optional
        Leave out what came later.
    triggered : bool, default False
        Only units of the shadow's share whose lists differed between the arms.

    Returns
    -------
    ExperimentReport

    Raises
    ------
    DataError
        If columns are missing, or clusters were not randomised as a whole.
    ConfigurationError
        If an option is impossible.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> units, arm = np.arange(4_000), np.where(rng.random(4_000) < 0.5, "control", "new")
    >>> log = {"unit": units, "arm": arm, "timestamp": np.zeros(4_000)}
    >>> revenue = rng.exponential(1.0 + 0.2 * (arm == "new"))
    >>> report = analyze(log, {"unit": units, "revenue": revenue}, primary="revenue")
    >>> report.decision.verdict
    'ship'
    """
    measure, plan = as_metric(primary), Fixed() if reading is None else reading
    if not isinstance(plan, Reading):
        raise ConfigurationError(f"found reading={plan!r}; expected Fixed, GroupSequential or Anytime")
    frame, people = read_log(log), None if users is None else read_log(users)
    own = [name for name in segments if people is None or name not in people]
    units = Units.of(frame, experiment=experiment, control=control, weights=weights, segments=own)
    units = _with_segments(units, people, [name for name in segments if name not in own])
    if triggered:
        units = _triggered(units)
    whole = Sample.of(units, events, users=people, before=before, cluster=cluster)
    # Units of an A/B test that began before the end of the log.
    sample = whole if until is None else whole.at(timestamp(until))
    checked = splits(sample.units)
    common: dict[str, Any] = {
        "experiment": experiment or "",
        "primary": measure.name,
        "reading": plan,
        "arms": sample.units.arms,
        "splits": tuple(checked),
        "notes": sample.units.notes,
        "until": min(sample.until, sample.end),
    }
    if any(split.is_broken for split in checked):
        return ExperimentReport(**common)
    reads = _Reads.of(sample, measure, plan)
    return ExperimentReport(
        **common,
        effects=tuple(_primary(reads, measure)),
        others=tuple(_others(reads, sample, [as_metric(one) for one in metrics])),
        guarded=tuple(_guarded(reads, sample, guardrails)),
        curves=tuple(reads.curves()),
        spreads=tuple(_segments(sample, measure, segments)),
        novelty=_novelty(sample, measure),
        days_left=reads.days_left(),
        done=all(read.done for read in reads.reads),
    )


@dataclass(frozen=True, eq=False)
class _Reads:
    """The looks at the primary metric, for each treatment, and what the reading makes of them."""

    sample: Sample
    plan: Reading
    times: tuple[float, ...]
    estimates: tuple[list[Estimate], ...]
    looks: tuple[tuple[Look, ...], ...]
    reads: tuple[Read, ...]

    @classmethod
    def of(cls, sample: Sample, metric: Metric, plan: Reading) -> _Reads:
        times = look_times(sample, plan)
        at = [sample if time >= sample.end else sample.at(time) for time in times]
        found = [metric.estimates(one) for one in at]
        began = float(sample.units.since[sample.units.arm >= 0].min())
        looks = tuple(
            tuple(
                Look(
                    time - began,
                    sum(e.n for e in (of_arms[0], of_arms[arm])),
                    Difference(of_arms[0], of_arms[arm]),
                )
                for time, of_arms in zip(times, found, strict=True)
            )
            for arm in range(1, len(sample.units.arms))
        )
        return cls(
            sample=sample,
            plan=plan,
            times=tuple(times),
            estimates=tuple(found),
            looks=looks,
            reads=tuple(plan.read(one, _confidence(plan, looks)) for one in looks),
        )

    def reach(self, confidence: float | None = None) -> float:
        """Return how far intervals reach at the last look, at another confidence if given."""
        return max(self.plan.read(looks, confidence).reaches[-1] for looks in self.looks)

    def curves(self) -> list[Curve]:
        """Return the effect and its interval at each look, for each treatment."""
        return [
            Curve(arm, self.times, tuple(look.difference for look in looks), read.reaches)
            for arm, looks, read in zip(self.sample.units.arms[1:], self.looks, self.reads, strict=True)
        ]

    def days_left(self) -> float:
        """Return the days to the planned end, or until a difference like the one seen would be clear."""
        planned = max(read.days_left for read in self.reads)
        if planned == planned:
            return planned
        needed = []
        for looks, read in zip(self.looks, self.reads, strict=True):
            last = looks[-1]
            z = abs(last.difference.z)
            more = ((read.reaches[-1] + 0.84) / z) ** 2 - 1 if z > 0 else np.inf
            needed.append(max(more, 0.0) * max(last.age, DAY) / DAY)
        return float(min(needed))


def _confidence(plan: Reading, looks: Sequence[object]) -> float | None:
    """Return the confidence of each treatment's interval: several share what may err (Bonferroni)."""
    return None if len(looks) == 1 else 1.0 - (1.0 - plan.confidence) / len(looks)


def look_times(sample: Sample, plan: Reading) -> list[float]:
    """Return the times of the looks so far, the last one now."""
    since = sample.units.since[sample.units.arm >= 0]
    began, end = float(since.min()), min(sample.until, sample.end)
    if not plan.every or not end > began:
        return [end]
    n = int(np.ceil((end - began) / plan.every - 1e-9))
    step = plan.every * max(1, int(np.ceil(n / _MOST_LOOKS)))
    times = [began + step * (i + 1) for i in range(int(np.ceil(n * plan.every / step - 1e-9)))]
    # A look needs two units in each arm; earlier ones say nothing and cost something.
    arm, n_arms = sample.units.arm, len(sample.units.arms)
    there = sample.units.counts > 0
    several = [
        time
        for time in times[:-1]
        if np.bincount(arm[(arm >= 0) & (sample.units.since <= time)], minlength=n_arms)[there].min() > 1
    ]
    return [*several, end if end >= times[-1] - plan.every else times[-1]]


def _primary(reads: _Reads, metric: Metric) -> list[Effect]:
    p_values = holm([read.p_value for read in reads.reads])
    alpha = 1.0 - reads.plan.confidence
    return [
        Effect(
            metric=metric.name,
            arm=arm,
            difference=looks[-1].difference,
            reach=read.reaches[-1],
            p_value=float(p),
            alpha=alpha,
            lower_is_better=metric.lower_is_better,
        )
        for arm, looks, read, p in zip(
            reads.sample.units.arms[1:], reads.looks, reads.reads, p_values, strict=True
        )
    ]


def _differences(estimates: Sequence[Estimate]) -> list[Difference]:
    return [Difference(estimates[0], one) for one in estimates[1:]]


def _others(reads: _Reads, sample: Sample, metrics: Sequence[Metric]) -> list[Effect]:
    """Return the effects on other metrics, corrected for their number and that of the arms."""
    found = [(metric, _differences(metric.estimates(sample))) for metric in metrics]
    rows = [
        (metric, arm, difference, looks)
        for metric, differences in found
        for arm, difference, looks in zip(sample.units.arms[1:], differences, reads.looks, strict=True)
    ]
    alone = [reads.plan.read([*looks[:-1], looks[-1]._replace(difference=one)]) for _, _, one, looks in rows]
    # Earlier looks were at the primary metric: here only the last one counts, at its boundary.
    p_values = benjamini_hochberg([_p_value(reads.plan, looks, one) for _, _, one, looks in rows])
    return [
        Effect(
            metric=metric.name,
            arm=arm,
            difference=one,
            reach=read.reaches[-1],
            p_value=float(p),
            alpha=1.0 - reads.plan.confidence,
            lower_is_better=metric.lower_is_better,
        )
        for (metric, arm, one, _), read, p in zip(rows, alone, p_values, strict=True)
    ]


def _p_value(plan: Reading, looks: Sequence[Look], difference: Difference) -> float:
    """Return the p-value of another metric at the last look, as wide as the reading is there."""
    nothing = Difference(Estimate(0.0, 1.0, 2), Estimate(0.0, 1.0, 2))
    silent = [look._replace(difference=nothing) for look in looks[:-1]]
    return plan.read([*silent, looks[-1]._replace(difference=difference)]).p_value


def _guarded(reads: _Reads, sample: Sample, guardrails: Sequence[NotWorse]) -> list[Guarded]:
    """Return the guardrails of each arm: one side of the interval counts, at the reading's confidence."""
    alpha = 1.0 - reads.plan.confidence
    reach = reads.reach(1.0 - 2.0 * alpha)
    found = []
    for rail in guardrails:
        part = sample if rail.within is None else sample.only(_within(sample, rail))
        for arm, difference in zip(
            sample.units.arms[1:], _differences(rail.measured.estimates(part)), strict=True
        ):
            effect = Effect(
                metric=rail.measured.name,
                arm=arm,
                difference=difference,
                reach=reach,
                p_value=difference.p_value(),
                alpha=alpha,
                lower_is_better=rail.measured.lower_is_better,
            )
            found.append(Guarded(rail.name, effect, rail.margin, rail.relative))
    return found


def _within(sample: Sample, rail: NotWorse) -> BoolArray:
    kept = np.ones(len(sample.units), np.bool_)
    for name, value in (rail.within or {}).items():
        column = sample.segment(name).astype(str)
        here = column == str(value)
        if not here.any():
            raise DataError(
                f"found no unit with {name}={value!r} for the guardrail {rail.name!r}; expected one of "
                f"{', '.join(sorted(set(column.tolist()))[:8])}"
            )
        kept &= here
    return kept


def _with_segments(units: Units, users: Frame | None, names: Sequence[str]) -> Units:
    """Return the units with columns of the users' table as segments; ``"(missing)"`` for those who are not in it."""
    if users is None or not names:
        return units
    key = next((one for one in ("unit", "user_id") if one in users), "unit")
    rows, columns = units.rows_of(users.ids(key)), dict(units.segments)
    for name in names:
        codes, labels = users.labels(name)
        named = np.array(["(missing)", *map(str, labels.tolist())], object)
        column = np.full(len(units), named[0], object)
        column[rows[rows >= 0]] = named[codes[rows >= 0]]
        columns[name] = column
    return replace(units, segments=columns)


def _segments(sample: Sample, metric: Metric, segments: Sequence[str]) -> list[Spread]:
    return [spread(sample, metric, name) for name in segments]


def _novelty(sample: Sample, metric: Metric) -> tuple[Novelty, ...]:
    return tuple(novelty(sample, metric))


def _triggered(units: Units) -> Units:
    told = ~np.isnan(units.differs)
    if not told.any():
        raise DataError(
            "found no shadow runs in the log; expected some for triggered=True; hint: Served(test, shadow=0.05)"
        )
    kept = units.only(units.differs == 1.0)
    share.check("the share of units whose lists differ", float(np.mean(units.differs[told])) or 1e-9)
    return kept
