"""Records: what lists were like, who was shown which arm, and what monitors counted by arm."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._stats.differences import Difference
from recokit._stats.moments import Estimate
from recokit._utils.options import require, whole
from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.experiments.effects import Effect
from recokit.experiments.exposures import RowLog, Sink, read_log
from recokit.trace import Status, Trace
from recokit.typing import AnyArray, FloatArray

#: Groups of users that a monitor counts apart, which its errors come from.
_GROUPS = 32


class ListLog(RowLog):
    """An observer that writes a row for each list: the columns of :func:`guardrails`.

    ``unit`` (the user), ``timestamp``, ``lists`` (1), ``ms`` of the run, ``failed``, ``fallback``, ``empty``, and, as
    far as item columns are given, ``diversity`` (chance that two items of the list are of different categories),
    ``tail`` and ``small_sellers`` (share of the list). Lists of nobody are left out.

    Parameters
    ----------
    sink : path or callable
        As for :class:`Exposures`.
    category : ndarray of int, shape (n_items + 1,), optional
        By item code, such as ``data.items.column("category")``.
    tail, small_sellers : ndarray of bool, shape (n_items + 1,), optional
        By item code.
    flush_rows : int, default 500

    Examples
    --------
    >>> import recokit as rk
    >>> data, rows = rk.testing.toy_dataset(), []
    >>> log = ListLog(rows.extend, flush_rows=1)
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()], observers=[log]).fit(data)
    >>> answer = pipeline.recommend(["user-1"], k=3, now=data.until)
    >>> rows[0]["unit"], rows[0]["lists"], rows[0]["empty"]
    ('user-1', 1.0, 0.0)
    """

    def __init__(
        self,
        sink: Sink,
        *,
        category: AnyArray | None = None,
        tail: AnyArray | None = None,
        small_sellers: AnyArray | None = None,
        flush_rows: int = 500,
    ) -> None:
        require(whole(1), flush_rows=flush_rows)
        self.sink, self.category, self.flush_rows = sink, category, flush_rows
        self.shares = {"tail": tail, "small_sellers": small_sellers}
        super().__init__(sink)

    def observe(self, trace: Trace) -> None:
        """Take down the lists of a run."""
        if trace.users is None:
            return
        columns: dict[str, FloatArray] = {
            "timestamp": trace.requests.now,
            "lists": np.ones(len(trace.requests)),
            "ms": np.full(len(trace.requests), 1e3 * trace.seconds),
            "failed": (trace.status == Status.FAILED).astype(float),
            "fallback": (trace.status == Status.FALLBACK).astype(float),
            "empty": (trace.selected.counts == 0).astype(float),
            **self._of_items(trace),
        }
        rows = [
            {"unit": str(user), **{name: float(column[row]) for name, column in columns.items()}}
            for row, user in enumerate(trace.users.tolist())
            if user is not None
        ]
        with self._lock:
            self._waiting += rows
            if len(self._waiting) >= self.flush_rows:
                self._flush()

    def _of_items(self, trace: Trace) -> dict[str, FloatArray]:
        selected, n = trace.selected, len(trace.requests)
        length = np.maximum(selected.counts, 1)
        found = {
            name: segment_sum(np.asarray(flags)[selected.item].astype(float), selected.row, n) / length
            for name, flags in self.shares.items()
            if flags is not None
        }
        if self.category is not None:
            category = np.asarray(self.category)[selected.item].astype(np.int64)
            pairs = np.unique(np.stack([selected.row, category]), axis=1, return_counts=True)
            alike = segment_sum(pairs[1] * (pairs[1] - 1.0), pairs[0][0], n)
            found["diversity"] = np.where(
                selected.counts > 1, 1.0 - alike / np.maximum(length * (length - 1), 1), 0.0
            )
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Disclosure(Report):
    """Which experiments decided what a unit was shown: an answer to a user's, or an authority's, question.

    Parameters
    ----------
    unit : str
    rows : tuple of (str, str, str, float, bool)
        Experiment, arm, version of the pipeline, first time, and whether the arm was chosen by name.
    """

    unit: str
    rows: tuple[tuple[str, str, str, float, bool], ...]

    def _content(self) -> Content:
        rows = [
            [_day(time), experiment, arm, version, "by name" if forced else "by chance"]
            for experiment, arm, version, time, forced in self.rows
        ]
        said = f"{self.unit} took part in {len({row[0] for row in self.rows})} experiments"
        header = ("from", "experiment", "arm", "pipeline", "chosen")
        return Content(f"Experiments of {self.unit}", [Table(header, rows)], summary=said)

    def at(self, time: float) -> dict[str, str]:
        """Return the arm of each experiment at a time."""
        return {experiment: arm for experiment, arm, _, since, _ in self.rows if since <= time}


def disclose(log: Any, unit: Any) -> Disclosure:
    """Return the experiments that a unit took part in, in the order of time.

    Parameters
    ----------
    log : path, dataframe, mapping or list of rows
        What :class:`Exposures` wrote.
    unit : int or str

    Examples
    --------
    >>> rows = [{"experiment": "e", "unit": "u", "arm": "new", "version": "v", "timestamp": 5.0, "forced": False}]
    >>> disclose(rows, "u").at(6.0)
    {'e': 'new'}
    """
    frame = read_log(log)
    ids = frame.ids("unit")
    frame = frame.filtered(np.array([str(one) == str(unit) for one in ids.tolist()], np.bool_))
    if not len(frame):
        return Disclosure(str(unit), ())
    columns = [_labels(frame, name) for name in ("experiment", "arm", "version")]
    forced = frame.number("forced") > 0 if "forced" in frame else np.zeros(len(frame), np.bool_)
    rows = zip(*columns, frame.times("timestamp").tolist(), forced.tolist(), strict=True)
    first: dict[tuple[str, str, str], tuple[float, bool]] = {}
    for experiment, arm, version, time, by_name in sorted(rows, key=lambda row: row[3]):
        first.setdefault((experiment, arm, version), (time, by_name))
    return Disclosure(str(unit), tuple((*key, *value) for key, value in first.items()))


def _labels(frame: Any, name: str) -> list[str]:
    if name not in frame:
        return [""] * len(frame)
    codes, labels = frame.labels(name)
    return [str(labels[code - 1]) if code else "" for code in codes.tolist()]


class CountsByGroup(Protocol):
    """A monitor that knows rates with standard errors by group, such as ``monitoring.OutcomeMonitor``."""

    def total(self) -> Any:
        """Return the counters of all time."""
        ...

    def rates(self, counters: Any) -> Mapping[str, Any]:
        """Return the rates of each group."""
        ...


def monitored(
    monitor: CountsByGroup,
    rates: Sequence[str] = ("ctr", "conversion", "revenue_per_session"),
    *,
    control: str = "control",
) -> list[Effect]:
    """Return the differences of the arms in what a monitor counted while serving: a first look, for one reading only.

    Parameters
    ----------
    monitor : OutcomeMonitor
        Its groups are the arms, as :class:`Served` names them.
    rates : sequence of str, default ("ctr", "conversion", "revenue_per_session")
    control : str, default "control"

    Raises
    ------
    DataError
        If there is no such group.
    ConfigurationError
        For an unknown rate.
    """
    groups = monitor.rates(monitor.total())
    if control not in groups:
        raise DataError(f"found no group {control!r}; {did_you_mean(control, groups)}")
    found = []
    for rate in rates:
        if not hasattr(groups[control], f"{rate}_error"):
            raise ConfigurationError(
                f"found no rate {rate!r}; expected ctr, conversion, revenue_per_session or ndcg"
            )
        for arm, of_arm in groups.items():
            if arm == control or arm.startswith("("):
                continue
            one = Difference(_estimate(groups[control], rate), _estimate(of_arm, rate))
            found.append(Effect(rate, arm, one, one.reach(0.95), one.p_value()))
    return found


def _estimate(rates: Any, name: str) -> Estimate:
    return Estimate(float(getattr(rates, name)), float(getattr(rates, f"{name}_error")), _GROUPS)


def _day(time: float) -> str:
    return dt.datetime.fromtimestamp(time, dt.UTC).strftime("%Y-%m-%d %H:%M")
