"""A/A: whether the way of measuring, and of serving, sees a difference where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._stats.differences import Difference
from recokit._stats.moments import Moments, adjusted
from recokit._utils.options import require, shortened, whole
from recokit._utils.report import Content, Report, Table
from recokit.data.vocabulary import factorize
from recokit.errors import ConfigurationError
from recokit.experiments.analysis import look_times
from recokit.experiments.assignment import Experiment
from recokit.experiments.exposures import Exposures, read_log
from recokit.experiments.metrics import Linear, Metric, as_metric
from recokit.experiments.readings import Fixed, Look, Reading
from recokit.experiments.sample import Sample
from recokit.experiments.served import Served
from recokit.experiments.splits import BROKEN, ratio_mismatch
from recokit.experiments.units import Units
from recokit.protocols import Runnable
from recokit.result import Recommendations
from recokit.trace import Status
from recokit.typing import BoolArray, FloatArray

#: Draws of an assignment at a time, in millions of units.
_CHUNK = 4_000_000
#: Standard errors that the share of false alarms may be above what it should be.
_ACCEPTED = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class AAReport(Report):
    """How often equal arms would have been told apart.

    Parameters
    ----------
    metric : str
    reading : Reading
    runs : int
    false_alarms : float
        Share of the assignments drawn at which the reading stops.
    naive : float
        Share at which a plain test would be significant at one of the looks.
    error : float
        Standard error of a share of ``1 - confidence``.
    p_values : ndarray of float64, shape (runs,)
        Welch's at the last look; even between 0 and 1.
    """

    metric: str
    reading: Reading
    runs: int
    false_alarms: float
    naive: float
    error: float
    p_values: FloatArray

    @property
    def holds(self) -> bool:
        """Whether equal arms are told apart no more often than the reading promises."""
        return self.false_alarms <= 1.0 - self.reading.confidence + _ACCEPTED * self.error

    def plot(self, ax: Any = None) -> Any:
        """Draw the p-values of equal arms, which should be even.

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
        from recokit._utils.plots.curves import draw_shares
        from recokit._utils.plots.style import title

        ax = draw_shares(self.p_values, "p-value at the last look", ax)
        title(ax, f"{self.runs:,} assignments, {self.false_alarms:.1%} false alarms")
        return ax

    def _content(self) -> Content:
        promised = 1.0 - self.reading.confidence
        rows = [
            ["promised", f"{promised:.1%}"],
            ["found", f"{self.false_alarms:.1%}"],
            ["a plain test at every look", f"{self.naive:.1%}"],
        ]
        said = f"{self.metric} {'keeps' if self.holds else 'breaks'} its promise: {self.false_alarms:.1%} false alarms"
        title = f"A/A simulation of {self.runs:,} assignments"
        return Content(
            title, [Table(("equal arms told apart", "share"), rows)], summary=said,
            notes=[f"read at {self.reading}"], good=self.holds,
        )  # fmt: skip


def simulate_aa(
    log: Any,
    events: Any,
    *,
    primary: Metric | str,
    reading: Reading | None = None,
    runs: int = 1_000,
    seed: int = 0,
    users: Any = None,
    cluster: str | None = None,
    before: str | float = "28D",
) -> AAReport:
    """Draw arms anew for the units of one's own log, and count how often they are told apart: before the first read.

    Parameters
    ----------
    log : path, dataframe, mapping or list of rows
        Exposures, or any log with ``unit`` and ``timestamp``: whatever ``arm`` says is not looked at.
    events, primary, reading, users, cluster, before
        As for :func:`analyze`; a mean, ratio or retention.
    runs : int, default 1,000
    seed : int, default 0

    Raises
    ------
    ConfigurationError
        For a metric that is no function of means, such as a quantile.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> log = {"unit": np.arange(2_000), "timestamp": np.zeros(2_000)}
    >>> found = simulate_aa(log, {"unit": np.arange(2_000), "x": rng.exponential(size=2_000)}, primary="x", runs=200)
    >>> found.holds
    True
    """
    require(whole(2), runs=runs)
    measure, plan = as_metric(primary), Fixed() if reading is None else reading
    sample = _all_in_one(log, events, users=users, cluster=cluster, before=before)
    times = look_times(sample, plan)
    began = float(sample.units.since[sample.units.arm >= 0].min())
    parts = []
    for time in times:
        at = sample if time >= sample.end else sample.at(time)
        linear = measure.linear(at)
        if linear is None:
            raise ConfigurationError(f"found {measure!r}; expected a mean, a ratio or retention")
        columns, arm = at.draws(linear.columns)
        parts.append((time - began, linear, columns, arm >= 0))
    rng, alarms, naive, p_values = np.random.default_rng(seed), 0, 0, []
    step = max(1, _CHUNK // max(len(parts[0][2]), 1))
    for start in range(0, runs, step):
        drawn = rng.random((min(step, runs - start), len(parts[0][2]))) < 0.5
        for looks in _looks(parts, drawn):
            reaches = plan.read(looks).reaches
            alarms += any(abs(one.difference.z) > reach for one, reach in zip(looks, reaches, strict=True))
            naive += any(one.difference.p_value() < 1.0 - plan.confidence for one in looks)
            p_values.append(looks[-1].difference.p_value())
    promised = 1.0 - plan.confidence
    error = float(np.sqrt(promised * (1 - promised) / runs))
    return AAReport(
        metric=measure.name,
        reading=plan,
        runs=runs,
        false_alarms=alarms / runs,
        naive=naive / runs,
        error=error,
        p_values=np.array(p_values),
    )


def _all_in_one(log: Any, events: Any, *, users: Any, cluster: str | None, before: str | float) -> Sample:
    frame = read_log(log)
    codes, ids = factorize(frame.ids("unit"))
    since = np.full(len(ids), np.inf)
    np.minimum.at(since, codes - 1, frame.times("timestamp"))
    halves = np.array([0.5, 0.5])
    units = Units(
        ids=ids,
        arm=np.zeros(len(ids), np.int64),
        since=since,
        arms=("a", "b"),
        weights=halves,
        segments={},
        differs=np.full(len(ids), np.nan),
    )
    if cluster is not None and cluster in frame:
        labels = frame.labels(cluster)
        column = np.empty(len(ids), object)
        column[codes - 1] = labels[0].astype(str)
        units = Units(
            ids=ids,
            arm=units.arm,
            since=since,
            arms=units.arms,
            weights=halves,
            segments={cluster: column},
            differs=units.differs,
        )
    return Sample.of(units, events, users=users, before=before, cluster=cluster)


def _looks(
    parts: Sequence[tuple[float, Linear, FloatArray, BoolArray]], drawn: BoolArray
) -> list[list[Look]]:
    """Return the looks of each drawn assignment (R, G)."""
    found: list[list[Look]] = [[] for _ in drawn]
    for age, linear, columns, inside in parts:
        kept = columns[inside]
        moved = kept - kept.mean(axis=0)
        k = kept.shape[1]
        products = (moved[:, :, None] * moved[:, None, :]).reshape(len(kept), k * k)
        chosen = drawn[:, inside].astype(np.float64)
        n, sums, squares = chosen.sum(axis=1), chosen @ moved, (chosen @ products).reshape(-1, k, k)
        total, whole = moved.sum(axis=0), products.sum(axis=0).reshape(k, k)
        for run in range(len(drawn)):
            a = _moments(n[run], sums[run], squares[run], kept.mean(axis=0))
            b = _moments(len(kept) - n[run], total - sums[run], whole - squares[run], kept.mean(axis=0))
            difference = Difference(*adjusted([a, b], linear.part, linear.covariates))
            found[run].append(Look(age, float(len(kept)), difference))
    return found


def _moments(n: float, sums: FloatArray, squares: FloatArray, centre: FloatArray) -> Moments:
    mean = sums / n
    return Moments(float(n), centre + mean, (squares - n * np.outer(mean, mean)) / (n - 1))


def _why(answer: Recommendations) -> str:
    row = int(np.flatnonzero(answer.status >= Status.EMPTY)[0])
    return shortened("; ".join(answer.reasons[row]), 120)


@dataclass(frozen=True)
class PathReport:
    """What was found when one pipeline was served as two arms.

    Parameters
    ----------
    users : int
    problems : tuple of str
        Nothing where the path is sound.
    """

    users: int
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the path is sound."""
        return not self.problems


def check_path(
    pipeline: Runnable, users: Sequence[Any], *, now: Any, k: int = 10, **options: Any
) -> PathReport:
    """Serve one pipeline as both arms, and look whether assignment, lists and log agree: the gate before an experiment.

    Parameters
    ----------
    pipeline : Pipeline
    users : sequence of ids
        Distinct ones; some hundreds at least tell an uneven split.
    now : date or float
    k : int, default 10
    options
        As for ``Pipeline.recommend``.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(data)
    >>> check_path(pipeline, data.user_ids.ids.tolist(), now=data.until).holds
    True
    """
    rows: list[Mapping[str, Any]] = []
    test = Experiment("a/a", {"control": pipeline, "same": pipeline})
    served = Served(test, observers=[Exposures(rows.extend, flush_rows=1)])
    answer = served.recommend(users, k, now=now, **options)
    expected = pipeline.run(pipeline.requests(users, k, now=now, **options), observe=False)
    problems = []
    differ = sum(answer.ids(row) != expected.ids(row) for row in range(len(users)))
    if differ:
        problems.append(f"{differ:,} of {len(users):,} lists differ from the pipeline's own")
    nothing = int(np.count_nonzero(answer.status >= Status.EMPTY))
    if nothing:
        problems.append(f"{nothing:,} of {len(users):,} lists are EMPTY or FAILED: {_why(answer)}")
    if len(rows) != len(users):
        problems.append(f"{len(rows):,} exposures of {len(users):,} users in the log")
    arms = [row["arm"] for row in rows]
    p_value = ratio_mismatch([arms.count(name) for name in test.names], test.weights)
    if p_value < BROKEN:
        problems.append(f"a split of {arms.count('control'):,} to {arms.count('same'):,} (p = {p_value:.1g})")
    return PathReport(len(users), tuple(problems))
