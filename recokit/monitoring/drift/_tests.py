"""Counts of a column, and the tests of those counts against the reference profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from recokit._stats.stability import chance_of_index, stability_index
from recokit._utils.options import check_options, share
from recokit.data.validation.report import Status
from recokit.monitoring.drift._clusters import Clusters
from recokit.monitoring.drift.profile import MAX_LABELS, Batch, CategoryProfile, NumberProfile
from recokit.typing import AnyArray, FloatArray


@dataclass(frozen=True)
class DriftLimits:
    """Where :class:`DriftMonitor` warns and fails.

    A finding needs both: a change that matters, by these limits, and one that chance does not explain.

    Parameters
    ----------
    mean_shift : float
        Standard deviations of training by which a mean may move.
    warn_psi, fail_psi : float
        Population stability index; 0.1 and 0.25 are the customary limits for large samples. For a small one, the
        limit is what chance gives it.
    warn_missing, fail_missing : float
        Change of the share of missing values.
    warn_new, fail_new : float
        Share of labels that training did not have, beyond the share to be expected.
    collapse : float
        A mode has collapsed below this part of its share.
    false_alarms : float
        Chance that a check alarms for any column where nothing changed.
    min_rows : float
        With fewer independent rows nothing is checked; nor means and distributions, with fewer that have a value.
    """

    mean_shift: float = 2.0
    warn_psi: float = 0.1
    fail_psi: float = 0.25
    warn_missing: float = 0.02
    fail_missing: float = 0.1
    warn_new: float = 0.005
    fail_new: float = 0.05
    collapse: float = 0.1
    false_alarms: float = 0.001
    min_rows: float = 50.0

    def __post_init__(self) -> None:
        check_options(self, {"false_alarms": share})


class Counts:
    """Sums of one column over chunks."""

    def __init__(self, reference: NumberProfile | CategoryProfile) -> None:
        self.alike = reference.alike
        self.bins = np.zeros(len(reference.shares))
        self.known = self.missing = self.squared = 0.0
        self.moved = self.moved_squared = self.low = self.other = 0.0
        self.min, self.max = np.inf, -np.inf
        self.new: dict[str, float] = {}
        self.clusters = Clusters()

    @property
    def total(self) -> float:
        return self.known + self.missing

    @property
    def independent(self) -> float:
        """Independent rows; rows of one group are as alike as in training at least."""
        rows = self.total**2 / max(self.squared, 1e-300)
        return rows / self.clusters.design_effect(self.alike) if self.clusters.rows else 0.0


def count_number(counts: Counts, reference: NumberProfile, values: FloatArray, batch: Batch) -> None:
    known = np.isfinite(values) & (batch.weight > 0)
    value, weight = values[known], batch.weight[known]
    bins = np.searchsorted(reference.edges, value, side="left")
    counts.bins += np.bincount(bins, weights=weight, minlength=len(counts.bins))
    _count_rows(counts, known, batch)
    counts.min = min(counts.min, float(value.min(initial=np.inf)))
    counts.max = max(counts.max, float(value.max(initial=-np.inf)))
    if np.isfinite(reference.mean):
        counts.moved += float((weight * (value - reference.mean)).sum())
        counts.moved_squared += float((weight * (value - reference.mean) ** 2).sum())
    if np.isfinite(reference.split):
        counts.low += float(weight[value <= reference.split].sum())
    code = np.full(len(values), len(counts.bins))
    if reference.constant:
        # The mean of equal values is theirs up to rounding. Another value is no bin of training, and may be a group's.
        other = np.abs(value - reference.mean) > 1e-9 * abs(reference.mean)
        counts.other += float(weight[other].sum())
        bins = np.where(other, len(counts.bins) + 1, bins)
    code[known] = bins
    counts.clusters = counts.clusters.plus(Clusters.of(code, batch.group))


def count_label(counts: Counts, reference: CategoryProfile, values: AnyArray, batch: Batch) -> None:
    known = (values != "") & (batch.weight > 0)
    distinct, at = np.unique(values[known], return_inverse=True)
    rank = {label: i for i, label in enumerate(reference.labels)}
    place = np.array([rank.get(str(label), -1) for label in distinct.tolist()], np.int64)
    weight = batch.weight[known]
    by_label = np.bincount(at, weights=weight, minlength=len(distinct))
    for label, total in zip(distinct[place < 0].tolist(), by_label[place < 0].tolist(), strict=True):
        if label in counts.new or len(counts.new) < 1000:
            counts.new[label] = counts.new.get(label, 0.0) + total
        else:  # memory is bounded: the labels after a thousand share one count
            counts.new["(others)"] = counts.new.get("(others)", 0.0) + total
    last = len(counts.bins) - 1
    bin_of = np.where(place < 0, last, np.minimum(place, last))
    counts.bins += np.bincount(bin_of, weights=by_label, minlength=len(counts.bins))
    _count_rows(counts, known, batch)
    code = np.full(len(values), -1)
    code[known] = np.minimum(bin_of, MAX_LABELS)[at]
    counts.clusters = counts.clusters.plus(Clusters.of(code, batch.group))


def _count_rows(counts: Counts, known: AnyArray, batch: Batch) -> None:
    known_weight = float(batch.weight[known].sum())
    counts.known += known_weight
    counts.missing += float(batch.weight.sum()) - known_weight
    counts.squared += float((batch.weight**2).sum())


_Verdict = tuple[Status, str, str, str] | None
_Reference = NumberProfile | CategoryProfile
Test = Callable[[_Reference, Counts, DriftLimits, float], _Verdict]
_PASS: _Verdict = ("pass", "", "", "")


def _known_rows(reference: _Reference, counts: Counts) -> tuple[float, float]:
    """Return how many independent rows have a value, in training and now."""
    now = counts.independent * counts.known / max(counts.total, 1e-300)
    return reference.n * (1 - reference.missing), now


def mean_shift(reference: NumberProfile, counts: Counts) -> float:
    if not counts.known or not reference.std > 0:
        return float("nan")
    return counts.moved / counts.known / reference.std


def _mean(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    if isinstance(reference, CategoryProfile) or reference.constant:
        return None
    if not np.isfinite(shift := mean_shift(reference, counts)):
        return None
    then, now = _known_rows(reference, counts)
    if min(then, now) < limits.min_rows:
        return None
    # A rare large value raises the mean and the variance: it is judged by what it brings itself.
    spread = max(counts.moved_squared / counts.known / reference.std**2 - shift**2, 1.0)
    chance = z * np.sqrt(1 / max(then, 1.0) + spread / max(now, 1.0))
    if abs(shift) <= max(limits.mean_shift, chance):
        return _PASS
    return (
        "fail",
        f"the mean moved {shift:+.2f} training standard deviations",
        f"at most {limits.mean_shift:g}",
        "has the source or the unit of the column changed? if the change is real, train again",
    )


def psi(reference: _Reference, counts: Counts, z: float) -> tuple[float, float]:
    """Return the index of the known values, and its limit by chance."""
    then, now = _known_rows(reference, counts)
    if len(counts.bins) < 2 or now < 1 or then < 1:
        return float("nan"), float("nan")
    chance = chance_of_index(reference.shares, then, now, NormalDist().cdf(-z))
    return stability_index(reference.shares, then, counts.bins / counts.known, now), chance


def _stable(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    index, chance = psi(reference, counts, z)
    if not np.isfinite(index) or min(_known_rows(reference, counts)) < limits.min_rows:
        return None
    if index <= max(limits.warn_psi, chance):
        return _PASS
    return (
        "fail" if index > max(limits.fail_psi, chance) else "warn",
        f"the distribution changed: PSI {index:.3f} (by chance at most {chance:.3f})",
        f"at most {limits.warn_psi:g}",
        "compare the values with those of training; if the change is real, train again",
    )


def _missing(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    then, now = max(reference.n, 1.0), max(counts.independent, 1.0)
    missing = counts.missing / max(counts.total, 1e-300)
    pooled = (reference.missing * then + missing * now + 0.5) / (then + now + 1)
    change = missing - reference.missing
    chance = z * np.sqrt(pooled * (1 - pooled) * (1 / then + 1 / now)) + z**2 / (2 * now)
    if abs(change) <= max(limits.warn_missing, chance):
        return _PASS
    return (
        "fail" if abs(change) > limits.fail_missing else "warn",
        f"{missing:.1%} of the values are missing, {reference.missing:.1%} in training",
        f"a change of at most {limits.warn_missing:.0%}",
        "is a join or a feed failing?",
    )


def _constant(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    if isinstance(reference, NumberProfile):
        top, same = reference.top, counts.min == counts.max
    else:
        top, same = float(reference.shares.max(initial=0.0)), bool((counts.bins > 0).sum() == 1)
        same &= len(counts.new) <= 1 and counts.bins[-1] == sum(counts.new.values())
    if not 0 < top < 1 or not counts.known:
        return None
    then, now = _known_rows(reference, counts)
    other = (1 - top) * then
    # Other values may be rarer than the sample of training had them.
    rare = max(other - z * np.sqrt(other), 0.0) / max(then, 1.0)
    if not same or now * np.log1p(-rare) > np.log(1 - NormalDist().cdf(z)):
        return _PASS
    value = f" ({counts.min:.6g})" if isinstance(reference, NumberProfile) else ""
    return "fail", f"all values are the same{value}", "values that vary", "is a default served?"


def _varies(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    """Test a column of one value in training, by how many values are another: it had no variance to measure by."""
    if isinstance(reference, CategoryProfile) or not reference.constant or not counts.known:
        return None
    then, now = _known_rows(reference, counts)
    # Rows of one group are alike in what they have in training too, where nothing varied that could tell.
    then /= counts.clusters.design_effect(counts.alike)
    if min(then, now) < limits.min_rows:
        return None
    other = counts.other / counts.known
    chance = z**2 * (1 / max(now, 1.0) + 1 / max(then, 1.0)) / 2
    if other <= max(limits.warn_new, chance):
        return _PASS
    return (
        "fail" if other > limits.fail_new else "warn",
        f"{other:.1%} of the values are not {reference.mean:.6g}, the only value in training "
        f"(now {counts.min:.6g} to {counts.max:.6g})",
        "the value that training had",
        "a model has learned nothing about other values: train again if they are real",
    )


def _modes(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    if isinstance(reference, CategoryProfile) or not np.isfinite(reference.split) or not counts.known:
        return None
    now = max(_known_rows(reference, counts)[1], 1.0)
    low = counts.low / counts.known
    for name, before, after in (("lower", reference.low, low), ("upper", 1 - reference.low, 1 - low)):
        chance = z * np.sqrt(before * (1 - before) * (1 / now + 1 / max(reference.n, 1.0)))
        if after < limits.collapse * before and before - after > chance:
            return (
                "fail",
                f"the {name} of two modes has {after:.1%} of the values, {before:.1%} in training",
                "both modes",
                f"values on one side of {reference.split:.6g} no longer come: did a source or a branch stop?",
            )
    return _PASS


def _new_labels(reference: _Reference, counts: Counts, limits: DriftLimits, z: float) -> _Verdict:
    if isinstance(reference, NumberProfile) or not counts.known:
        return None
    now = max(_known_rows(reference, counts)[1], 1.0)
    new = sum(counts.new.values()) / counts.known
    usual = min((reference.once + 1) / max(reference.n, 1.0), 1.0)
    chance = z * np.sqrt(usual * (1 - usual) / now) + z**2 / now
    if new - usual <= max(limits.warn_new, chance):
        return _PASS
    worst = sorted(counts.new, key=lambda label: -counts.new[label])[:5]
    return (
        "fail" if new - usual > limits.fail_new else "warn",
        f"{new:.2%} of the labels are new: {', '.join(map(repr, worst))}",
        f"at most {usual + limits.warn_new:.2%}",
        "has a label been renamed or misspelt? if it is real, train again",
    )


TESTS: tuple[tuple[str, str, Test], ...] = (
    ("drift.mean", "means within the limit", _mean),
    ("drift.psi", "distributions as in training", _stable),
    ("drift.missing", "values missing as in training", _missing),
    ("drift.constant", "values that vary", _constant),
    ("drift.varies", "constant columns as in training", _varies),
    ("drift.modes", "both modes of bimodal columns", _modes),
    ("drift.new_labels", "labels that training had", _new_labels),
)
