"""Checks against the record of serving: the features that it served, and the outcomes of the scores that it gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recokit._utils.options import above, between, check_options, share, whole
from recokit._utils.report import json_number
from recokit.data import Candidates
from recokit.debugger.checks.causes import finding
from recokit.debugger.checks.features import LISTED, named, stage_of
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

_BELOW_ONE = between(0, 1, open_high=True)
#: Features whose first difference the evidence shows.
FIRST = 5


class Served(Protocol):
    """The part of a feature log that the check needs; ``recokit.monitoring.LoggedRequests`` has it."""

    user: AnyArray
    now: FloatArray
    offsets: IntArray
    item: AnyArray
    features: AnyArray
    feature_names: tuple[str, ...]


class FeatureSkew:
    """Features that were served with other values than the pipeline computes for the same request.

    Diagnose the request as of its own time: ``diagnose(user, now=log.now[row])``. Give the debugger
    ``pipeline.with_events(dataset)`` with all that is known now, so that histories and features are those as of the
    request: features that then differ are skewed between training and serving. Features with the name of a source in
    front are left out, since they change with its index; so are anonymous users, who cannot be matched.
    :func:`recokit.monitoring.skew` compares a whole log.

    Parameters
    ----------
    log : LoggedRequests
        Features as served.
    tolerance : float, default 1e-6
        Values are equal if they differ by at most this share of the larger one.
    share : float, default 0.1
        A feature that differs for more than this share of the items is a finding.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> import tempfile
    >>> import recokit as rk
    >>> from recokit import candidates, features
    >>> data = rk.testing.toy_dataset()
    >>> log = rk.monitoring.FeatureLog(tempfile.mkdtemp())
    >>> stages = [candidates.Popular(), features.ItemActivity(windows=("7D",))]
    >>> pipeline = rk.Pipeline(stages, observers=[log]).fit(data)
    >>> answer = pipeline.recommend(["user-1"], k=5, now=data.until)
    >>> log.flush()
    >>> skew = FeatureSkew(rk.monitoring.FeatureLog.load(log.path))
    >>> debugger = rk.RecommendationDebugger(pipeline, checks=[skew])
    >>> [one.code for one in debugger.diagnose("user-1", now=data.until).findings]
    []
    """

    def __init__(self, log: Served, *, tolerance: float = 1e-6, share: float = 0.1) -> None:
        self.log, self.tolerance, self.share = log, tolerance, share
        check_options(self, {"tolerance": _BELOW_ONE, "share": _BELOW_ONE})
        keys = zip(log.user.tolist(), _milliseconds(log.now), strict=True)
        self._row = {key: row for row, key in enumerate(keys) if key[0] is not None}

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        batch = evidence.ranked
        row = self._row.get((_user(evidence), *_milliseconds(np.array([evidence.now]))))
        if batch is None or not len(batch) or not batch.feature_names:
            return []
        if row is None:
            return [finding("NOT_LOGGED")]
        pair = self._paired(evidence, batch, row)
        differs = _differs(pair.served, pair.computed, self.tolerance)
        columns = np.flatnonzero(differs.sum(axis=0) > self.share * max(len(pair.items), 1))
        return [self._skewed(evidence, pair, differs, columns)] if len(columns) else []

    def _paired(self, evidence: Evidence, batch: Candidates, row: int) -> _Pair:
        here = slice(int(self.log.offsets[row]), int(self.log.offsets[row + 1]))
        items = evidence.schema.item_ids.encode(self.log.item[here])
        _, at, there = np.intersect1d(items, batch.item, assume_unique=True, return_indices=True)
        sources = tuple(f"{name}_" for name in evidence.candidate_sources)
        names = [
            name
            for name in batch.feature_names
            if name in self.log.feature_names and not name.startswith(sources)
        ]
        served = self.log.features[here][at][:, [self.log.feature_names.index(name) for name in names]]
        computed = batch.features[there][:, [batch.feature_names.index(name) for name in names]]
        return _Pair(names, items[at], served.astype(np.float64), computed.astype(np.float64))

    def _skewed(self, evidence: Evidence, pair: _Pair, differs: BoolArray, columns: IntArray) -> Finding:
        names = [pair.names[column] for column in columns]
        first = {}
        for name, column in list(zip(names, columns.tolist(), strict=True))[:FIRST]:
            row = int(np.flatnonzero(differs[:, column])[0])
            first[name] = {
                "served": json_number(pair.served[row, column]),
                "computed": json_number(pair.computed[row, column]),
                "differs": float(differs[:, column].mean()),
            }
        return finding(
            "FEATURES_SKEWED",
            stage_of(evidence, names),
            {"features": names[:LISTED], "compared": len(pair.items), "first": first},
            items=evidence.ids(pair.items[differs[:, columns].any(axis=1)]),
            n=len(names),
            of=len(pair.names),
            names=named(names),
        )


@dataclass(frozen=True, eq=False)
class _Pair:
    """The features of the same items of one request, as served and as computed now."""

    names: list[str]
    items: IntArray
    served: FloatArray
    computed: FloatArray


class Calibration:
    """Scores that claim to be probabilities, against the outcomes of the items that had them.

    Every diagnosis of the pipeline whose scores these are has the finding, since it concerns the ranker and no user.

    Parameters
    ----------
    score : ndarray, shape (N,)
        Scores as served, from 0 to 1; such as ``data.columns["score"]`` of ``log.ranking_data(outcomes)``.
    happened : ndarray, shape (N,)
        Whether, or to which share, what is claimed happened: ``data.label > 0`` of binary labels. Where labels are
        graded, binary learners claim a share of the largest one: ``data.label / largest``.
    weight : ndarray, shape (N,), optional
        Of each item, for sampled logs.
    bins : int, default 10
        Groups of equal size, by score.
    tolerance : float, default 0.2
        How far claims may be off: the mean gap between claim and outcome over the bins, as a share of the mean claim.
    alpha : float, default 0.001
        Largest probability of such gaps by chance (Hosmer and Lemeshow, 1980, for scores of other data).

    Attributes
    ----------
    table : list of dict
        By bin: ``items``, mean ``claimed`` and mean ``happened``.
    gap, p_value : float

    Raises
    ------
    DataError
        If there are fewer items than ten a bin, lengths differ, or scores are no probabilities.
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> claimed = np.random.default_rng(0).uniform(0.1, 0.5, 5_000)
    >>> clicked = np.random.default_rng(1).random(5_000) < claimed / 2
    >>> check = Calibration(claimed, clicked)
    >>> round(check.gap, 1), check.p_value < 0.001
    (0.5, True)
    """

    def __init__(
        self,
        score: AnyArray,
        happened: AnyArray,
        *,
        weight: AnyArray | None = None,
        bins: int = 10,
        tolerance: float = 0.2,
        alpha: float = 1e-3,
    ) -> None:
        self.bins, self.tolerance, self.alpha = bins, tolerance, alpha
        check_options(self, {"bins": whole(2), "tolerance": above(0), "alpha": share})
        claimed, came = np.asarray(score, np.float64), np.asarray(happened, np.float64)
        mass = np.ones(len(claimed)) if weight is None else np.asarray(weight, np.float64)
        if not len(claimed) == len(came) == len(mass) or len(claimed) < 10 * bins:
            raise DataError(
                f"found {len(claimed)} scores, {len(came)} outcomes and {len(mass)} weights; expected as many of each, "
                f"and at least {10 * bins}"
            )
        if not ((claimed >= 0) & (claimed <= 1)).all():
            raise DataError(
                f"found scores from {claimed.min():.4g} to {claimed.max():.4g}; expected probabilities, from 0 to 1; "
                "hint: wrap the ranker in rankers.Calibrated"
            )
        self.table, self.gap, self.p_value = _reliability(claimed, came, mass, bins)

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        scorers = evidence.events("scorer")
        if not scorers or self.gap <= self.tolerance or self.p_value > self.alpha:
            return []
        worst = max(self.table, key=lambda one: one["items"] * abs(one["claimed"] - one["happened"]))
        return [
            finding(
                "SCORES_MISCALIBRATED",
                scorers[-1].name,
                {"gap": self.gap, "p_value": self.p_value, "table": self.table},
                claimed=worst["claimed"],
                happened=worst["happened"],
            )
        ]


def _reliability(
    claimed: FloatArray, came: FloatArray, mass: FloatArray, bins: int
) -> tuple[list[dict[str, float]], float, float]:
    """Return the table by bin, the mean gap as a share of the mean claim, and its probability by chance."""
    from scipy.stats import chi2

    table, gap, statistic = [], 0.0, 0.0
    for part in np.array_split(np.argsort(claimed, kind="stable"), bins):
        weight = mass[part] / mass[part].sum()
        mean, rate = float(weight @ claimed[part]), float(weight @ came[part])
        spread = float(weight**2 @ (claimed[part] * (1.0 - claimed[part])))
        table.append({"items": len(part), "claimed": mean, "happened": rate})
        gap += float(mass[part].sum()) * abs(mean - rate)
        statistic += (mean - rate) ** 2 / max(spread, 1e-12)
    whole = max(float(mass @ claimed), 1e-12)
    return table, gap / whole, float(chi2.sf(statistic, bins))


def _milliseconds(now: FloatArray) -> list[int]:
    rounded: list[int] = np.round(1e3 * now).astype(np.int64).tolist()
    return rounded


def _user(evidence: Evidence) -> Any:
    """Return the external id of the user that the run was for; None for one that the model does not know."""
    if evidence.trace.users is not None:
        return evidence.trace.users[evidence.row]
    code = evidence.trace.requests.user[evidence.row : evidence.row + 1]
    return evidence.schema.user_ids.decode(code)[0] if code[0] else None


def _differs(served: FloatArray, now: FloatArray, tolerance: float) -> BoolArray:
    with np.errstate(invalid="ignore"):
        far = np.abs(served - now) > np.maximum(tolerance * np.maximum(np.abs(served), np.abs(now)), 1e-9)
    differs: BoolArray = far | (np.isfinite(served) != np.isfinite(now))
    return differs
