"""Paired comparison of recommenders, user by user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recokit._stats.intervals import FEW_NOTE, Mean, holm
from recokit._utils.frames_out import Recorded
from recokit._utils.options import require, share
from recokit._utils.report import Content, Report, Table, json_ready
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation.report import ALL, Evaluation, notes_of, plot_scores, rows_of, title_of
from recokit.typing import AnyArray

#: Chance to find a true difference of the size that is called detectable.
POWER = 0.8


@dataclass(frozen=True, repr=False)
class Difference(Report):
    """Paired difference of one metric between two recommenders, user by user.

    Parameters
    ----------
    a, b : str
        Names; the difference is a minus b.
    metric, segment : str
        What, and of whom.
    mean, low, high : float
        Mean difference, and the ends of its interval.
    n : int
        Users with a value from both.
    n_unpaired : int
        Users with a value from one only; they are left out.
    confidence : float
        Of the interval.
    p_value : float
        Of no difference, two-sided: below 1 - confidence where the interval lies clear of zero. NaN below two users.
    detectable : float
        Smallest true difference that this test would find in 80% of such samples.
    few : bool
        Whether interval and test may err more often than they say: below 200 users, or below 15 whose values differ
        from the difference that most have.
    """

    a: str
    b: str
    metric: str
    segment: str
    mean: float
    low: float
    high: float
    n: int
    n_unpaired: int
    confidence: float
    p_value: float = np.nan
    detectable: float = np.nan
    few: bool = False

    def _content(self) -> Content:
        header = ("metric", "segment", "difference", "interval", "p", "users")
        interval = f"[{self.low:+.4f}, {self.high:+.4f}]"
        row = (self.metric, self.segment, f"{self.mean:+.4f}", interval, f"{self.p_value:.3g}", f"{self.n:,}")
        return Content(f"{self.a} - {self.b}", [Table(header, [row])], str(self))

    @property
    def clear(self) -> bool:
        """Whether the interval lies clear of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        verdict = "clear of zero" if self.clear else "cannot tell from zero"
        return (
            f"{self.metric} ({self.segment}), {self.a} - {self.b}: {self.mean:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}] at {self.confidence:.0%}, {self.n:,} users"
            f"{', which is few' if self.few else ''}, {verdict}"
        )


def compare(a: Evaluation, b: Evaluation, metric: str, *, segment: str = ALL) -> Difference:
    """Return the paired difference of a metric, a minus b, over the users that both have a value for.

    Users differ far more from one another than two recommenders do for one user: the interval of the paired
    difference is much narrower than either one's own, and the one to decide by.

    Parameters
    ----------
    a, b : Evaluation
        On the same truth.
    metric : str
        A metric that both have.
    segment : str, default "all"
        One of a's segments.

    Returns
    -------
    Difference
        With the interval of :func:`mean_interval` at a's confidence.

    Raises
    ------
    ConfigurationError
        For a metric or segment that is not there, or a metric without values of single users.
    """
    mean, n_unpaired = _paired_mean(a, b, metric, segment)
    low, high = mean.interval(a.confidence)
    return Difference(
        a=a.name,
        b=b.name,
        metric=metric,
        segment=segment,
        mean=mean.mean,
        low=low,
        high=high,
        n=mean.n,
        n_unpaired=n_unpaired,
        confidence=a.confidence,
        p_value=mean.p_value(),
        detectable=mean.detectable(a.confidence, POWER),
        few=mean.few,
    )


def _paired_mean(a: Evaluation, b: Evaluation, metric: str, segment: str) -> tuple[Mean, int]:
    """Return the mean difference over the users of a's segment that have both values, and how many have only one."""
    mine, theirs = a.values(metric).astype(np.float64), b.values(metric)
    if np.isnan(mine).all() or np.isnan(theirs).all():
        raise ConfigurationError(
            f"found no values of single users for {metric!r}; expected a metric with one for each"
        )
    other = b.values_for(metric, a.users)
    rows = a.of_segment(segment)
    differences = mine[rows] - other[rows]
    n_paired = _n_known(differences)
    n_unpaired = _n_known(mine[rows]) + _n_known(other[rows]) - 2 * n_paired
    if segment == ALL:
        n_unpaired += _n_known(theirs) - _n_known(other)
    return Mean.of(differences), n_unpaired


def _n_known(values: AnyArray) -> int:
    return int(np.count_nonzero(~np.isnan(values)))


@dataclass(frozen=True, repr=False)
class Comparison(Recorded, Report):
    """Several recommenders against one, tested together.

    Parameters
    ----------
    baseline : str
        Name of the one.
    differences : tuple of Difference
        Each other one's less the baseline's, by recommender and metric.
    adjusted : tuple of float
        Their p-values by Holm's method: below 1 - confidence in at most that share of comparisons if nothing differs.
    confidence : float
        Of the intervals, which are not adjusted, and of the tests, which are.
    power : float
        Chance of the corrected test to find a true difference as large as ``detectable``.
    detectable : tuple of float
        Smallest such difference of each, at the strictest step of Holm's method.
    """

    baseline: str
    differences: tuple[Difference, ...]
    adjusted: tuple[float, ...]
    confidence: float
    power: float
    detectable: tuple[float, ...]

    def better(self, name: str, metric: str) -> bool | None:
        """Return whether one is clearly better (True) or worse (False) than the baseline; None: cannot tell."""
        for one, p in zip(self.differences, self.adjusted, strict=True):
            if (one.a, one.metric) == (name, metric):
                return one.mean > 0 if p < 1 - self.confidence else None
        known = sorted({f"{one.a} by {one.metric}" for one in self.differences})
        raise ConfigurationError(f"found no comparison of {name!r} by {metric!r}; known: {', '.join(known)}")

    def plot(self, metric: str | None = None, *, ax: Any = None) -> Any:
        """Draw each one's difference to the baseline by a metric, with its interval.

        Parameters
        ----------
        metric : str, optional
            The first by default.
        ax : matplotlib Axes, optional
            A new figure by default.

        Raises
        ------
        ConfigurationError
            If the metric was not compared; without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.intervals import draw_intervals
        from recokit._utils.plots.style import title

        known = list(dict.fromkeys(one.metric for one in self.differences))
        metric = known[0] if metric is None else metric
        if metric not in known:
            raise ConfigurationError(f"found no comparison by {metric!r}; known: {', '.join(known)}")
        shown = [one for one in self.differences if one.metric == metric]
        values = np.array([(one.mean, one.low, one.high) for one in shown], np.float64).reshape(-1, 3)
        label = f"difference of {metric}, {self.confidence:.0%} interval"
        ax = draw_intervals({metric: values}, [one.a for one in shown], label, ax, reference=0.0, form="+.4f")
        title(ax, f"Against {self.baseline}")
        return ax

    def to_records(self) -> list[dict[str, Any]]:
        """Return a record for each difference, NaN as None."""
        return [
            json_ready({**asdict(one), "detectable": detectable, "p_adjusted": adjusted})
            for one, adjusted, detectable in zip(
                self.differences, self.adjusted, self.detectable, strict=True
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "baseline": self.baseline,
            "confidence": self.confidence,
            "power": self.power,
            "differences": self.to_records(),
        }

    def _content(self) -> Content:
        header = ["name", "metric", f"less {self.baseline}", "users", "p (Holm)", "detectable", "verdict"]
        rows = []
        for one, p, detectable in zip(self.differences, self.adjusted, self.detectable, strict=True):
            better = self.better(one.a, one.metric)
            verdict = "cannot tell" if better is None else "better" if better else "worse"
            interval = f"{one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}]{'*' if one.few else ''}"
            rows.append([one.a, one.metric, interval, f"{one.n:,}", f"{p:.3g}", f"{detectable:.4f}", verdict])
        notes = [
            f"paired over users, {self.confidence:.0%} intervals of each alone; {len(self.differences)} tests "
            f"at {1 - self.confidence:.0%} together (Holm); detectable: found with {self.power:.0%} chance"
        ]
        if any(one.few for one in self.differences):
            notes += [FEW_NOTE]
        return Content(f"Comparison with {self.baseline}", [Table(header, rows)], notes=notes)


def compare_all(
    baseline: Evaluation,
    others: Sequence[Evaluation],
    metrics: Sequence[str] | None = None,
    *,
    segment: str = ALL,
    power: float = POWER,
) -> Comparison:
    """Compare several recommenders with one, corrected for the number of tests.

    Whoever tries twenty harmless changes finds one that looks better at 5%. Holm, *A simple sequentially rejective
    multiple test procedure*, 1979, keeps the chance of any such find at 5% for all tests together, however they depend
    on each other.

    Parameters
    ----------
    baseline : Evaluation
        What the others are compared with.
    others : sequence of Evaluation
        At least one, on the same truth, each with a name of its own.
    metrics : sequence of str, optional
        By default all with values of single users.
    segment : str, default "all"
        Of the others' segments.
    power : float, default 0.8
        For the detectable difference.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigurationError
        Without others or metrics, for names that stand twice, or as :func:`compare` does.
    """
    if metrics is None:
        metrics = [name for name in baseline.metrics if not np.isnan(baseline.values(name)).all()]
    names = [other.name for other in others]
    if not others or not metrics or len(set(names)) < len(names):
        raise ConfigurationError(
            f"found {names} to compare by {list(metrics)}; expected at least one of each, each name once"
        )
    require(share, power=power)
    pairs = [(other, metric) for other in others for metric in metrics]
    differences = tuple(compare(other, baseline, metric, segment=segment) for other, metric in pairs)
    confidence = others[0].confidence
    strictest = 1 - (1 - confidence) / len(pairs)
    means = (_paired_mean(other, baseline, metric, segment)[0] for other, metric in pairs)
    return Comparison(
        baseline.name,
        differences,
        adjusted=tuple(holm([one.p_value for one in differences]).tolist()),
        confidence=confidence,
        power=power,
        detectable=tuple(mean.detectable(strictest, power) for mean in means),
    )


@dataclass(frozen=True, eq=False, repr=False)
class Evaluations(Recorded, Report, Mapping[str, Evaluation]):
    """Several recommenders, evaluated on the same users: a mapping of name to :class:`Evaluation`."""

    parts: Mapping[str, Evaluation] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Evaluation:
        if name not in self.parts:
            raise ConfigurationError(f"found no evaluation {name!r}; {did_you_mean(name, self.parts)}")
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def compare(self, a: str, b: str, metric: str, *, segment: str = ALL) -> Difference:
        """Return the paired difference a minus b, see :func:`compare`."""
        return compare(self[a], self[b], metric, segment=segment)

    def compare_all(
        self, baseline: str, metrics: Sequence[str] | None = None, *, segment: str = ALL, power: float = 0.8
    ) -> Comparison:
        """Compare every other recommender with one, each metric, corrected for the number of tests.

        See :func:`compare_all`.
        """
        others = [part for name, part in self.parts.items() if name != baseline]
        return compare_all(self[baseline], others, metrics, segment=segment, power=power)

    def plot(self, metric: str, *, ax: Any = None) -> Any:
        """Draw a metric's means and intervals of each segment side by side; needs matplotlib (extra ``plots``).

        Returns
        -------
        matplotlib Axes
        """
        return plot_scores(self.parts, metric, ax)

    def to_records(self) -> list[dict[str, Any]]:
        """Return the records of all, see :meth:`Evaluation.to_records`."""
        return [record for part in self.parts.values() for record in part.to_records()]

    def to_dict(self) -> dict[str, Any]:
        """Return each one's figures by name, ready for JSON."""
        return {name: part.to_dict() for name, part in self.parts.items()}

    def _content(self) -> Content:
        parts = list(self.parts.values())
        by_segment = zip(*([[part.name, *row] for row in rows_of(part)] for part in parts), strict=True)
        rows = [row for rows in by_segment for row in rows]
        table = Table(["name", "segment", "users", *parts[0].metrics], rows)
        return Content("Evaluation", [table], title_of(parts[0]), notes_of(parts))
