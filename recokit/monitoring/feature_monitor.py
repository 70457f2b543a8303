"""FeatureMonitor: which features are missing, how old they are, and which have drifted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._utils.options import check_options, whole
from recokit.data import Candidates
from recokit.data.times import DAY
from recokit.monitoring.counters import Counters, Key, MetricSpec
from recokit.monitoring.drift.monitor import DriftMonitor, DriftReport
from recokit.monitoring.drift.profile import ReferenceProfile
from recokit.monitoring.monitor import MAX_VALUES, Monitor, when
from recokit.protocols import FeatureFreshness
from recokit.trace import Trace
from recokit.typing import Float32Array

_ROWS = MetricSpec(
    "recokit_feature_rows", "counter", "Candidates whose features were looked at.", ("feature",)
)
_MISSING = MetricSpec(
    "recokit_feature_missing", "counter", "Of these, how many lacked the feature.", ("feature",)
)
_AGE = MetricSpec(
    "recokit_feature_age_seconds", "gauge", "Age of the oldest data behind a stage.", ("stage",)
)
_PSI = MetricSpec(
    "recokit_feature_psi", "gauge", "Population stability index against training.", ("feature",)
)
_DRIFTED = MetricSpec("recokit_features_drifted", "gauge", "Features with a finding of the drift monitor.")
#: New requests after which drift is judged anew.
_FRESH = 16


class FeatureMonitor(Monitor):
    """Coverage, age and drift of the features that the ranker sees.

    Parameters
    ----------
    profile : ReferenceProfile, optional
        Of training; without it drift is not judged.
    stages : mapping of str to FeatureFreshness, optional
        Stages by name that know how old their data is, as features do.
    rows : int, default 20
        Candidates to look at in each request, evenly over those that are ranked.
    every : float, default 15
        Seconds between two requests that are kept to judge drift by.
    requests : int, default 256
        How many of these are kept: with the default, an hour.

    Raises
    ------
    ConfigurationError
        If ``rows`` or ``requests`` is below 1.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates, features
    >>> data = rk.testing.toy_dataset()
    >>> monitor = FeatureMonitor()
    >>> stages = [candidates.Popular(), features.Item("price")]
    >>> pipeline = rk.Pipeline(stages, observers=[monitor]).fit(data)
    >>> _ = pipeline.recommend(["user-1"], k=3, now=data.until)
    >>> monitor.figures(monitor.total())
    {'missing': {'item_price': 0.0}}
    """

    metrics = (_ROWS, _MISSING, _AGE, _PSI, _DRIFTED)
    #: The ranker was trained on candidates, of which lists are no fair sample: those ranked are.
    wants_ranked = True

    def __init__(
        self,
        profile: ReferenceProfile | None = None,
        *,
        stages: Mapping[str, FeatureFreshness] | None = None,
        rows: int = 20,
        every: float = 15.0,
        requests: int = 256,
    ) -> None:
        super().__init__(slot=DAY / 24, n_slots=24)
        self.profile, self.stages = profile, stages
        self.rows, self.every, self.requests = rows, every, requests
        check_options(self, {"rows": whole(1), "requests": whole(1)})
        self._kept: deque[tuple[tuple[str, ...], Float32Array]] = deque(maxlen=requests)
        self._next = -np.inf
        self._new = 0
        self._report: DriftReport | None = None
        self._sets: dict[tuple[str, ...], tuple[Key, Key]] = {}

    def _count(self, counters: Counters, trace: Trace) -> None:
        batch: Candidates = trace.selected if trace.ranked is None else trace.ranked
        n = len(batch)
        if not n or not batch.feature_names:
            return
        keys = self._sets.get(batch.feature_names) or self._keys(batch.feature_names)
        if keys is None:
            return
        block = batch.features[:: max(n // (self.rows * len(trace.requests)), 1)]
        counters.add_array(keys[1], np.isnan(block).sum(axis=0))
        counters.add(keys[0], len(block))
        now = when(trace)
        if self.profile is not None and now >= self._next:
            self._kept.append((batch.feature_names, block[: 10 * self.rows].copy()))
            self._next, self._new = now + self.every, self._new + 1

    def _keys(self, names: tuple[str, ...]) -> tuple[Key, Key] | None:
        if len(self._sets) >= MAX_VALUES:
            return None
        self._sets[names] = (_ROWS.name, *names), (_MISSING.name, *names)
        return self._sets[names]

    # -- reading -----------------------------------------------------------------------------------

    def counters(self, counters: Counters) -> Mapping[Key, float]:
        """Return the counts by feature."""
        totals = Counters()
        for (_, *names), n in counters.counts.items():
            missing = counters.arrays[(_MISSING.name, *names)]
            for name, n_missing in zip(names, missing.tolist(), strict=True):
                totals.add((_ROWS.name, name), n)
                totals.add((_MISSING.name, name), n_missing)
        return totals.counts

    def drift(self) -> DriftReport | None:
        """Judge the kept requests against training; None without a profile or before the first request."""
        with self._lock:
            if self.profile is None or not self._kept:
                return None
            if self._report is None or self._new >= _FRESH:
                names = self._kept[-1][0]
                blocks = [block for kept, block in self._kept if kept == names]
                group = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
                columns = dict(zip(names, np.concatenate(blocks).T, strict=True))
                self._report = DriftMonitor(self.profile).check(columns, groups=group)
                self._new = 0
            return self._report

    def gauges(self, now: float) -> dict[Key, float]:
        """Return the age of each stage's data and the drift of each feature."""
        gauges: dict[Key, float] = {(_AGE.name, stage): age for stage, age in self.ages(now).items()}
        report = self.drift()
        if report is not None:
            gauges[(_DRIFTED.name,)] = len(report.drifted)
            psi = {name: figures["psi"] for name, figures in report.figures.items()}
            gauges |= {(_PSI.name, name): value for name, value in psi.items() if np.isfinite(value)}
        return gauges

    def ages(self, now: float) -> dict[str, float]:
        """Return the age of the oldest data behind each stage, in seconds, where it is known."""
        ages = {}
        for name, stage in (self.stages or {}).items():
            times = [time for time in stage.freshness().values() if np.isfinite(time)]
            if times:
                ages[name] = now - min(times)
        return ages

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return the share of missing values by feature."""
        counts = self.counters(counters)
        return {
            "missing": {
                key[1]: counts[_MISSING.name, key[1]] / n for key, n in counts.items() if key[0] == _ROWS.name
            }
        }

    def _merge_more(self, other: FeatureMonitor) -> None:
        self._kept.extend(other._kept)
        self._new = _FRESH

    def state(self) -> dict[str, Any]:
        """Return what was counted and kept, for saving."""
        with self._lock:
            return {**super().state(), "kept": list(self._kept)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave."""
        super().load_state(state)
        self._kept.extend((tuple(names), block) for names, block in state["kept"])
