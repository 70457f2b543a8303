"""Leakage: features and splits that know the labels which the model is to predict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._stats.ranks import Correlations, area_under_curve, distinct_pairs, spread_rows
from recokit.data import Dataset, RankingData
from recokit.data.validation.report import Check, CheckReport, Status
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.training._replayed import Replayed, replayed
from recokit.training._statistics import EventStatistic, LabelCounts, event_statistics, label_counts
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Float32 holds times of today to 128 s.
_TIME_PRECISION = 128.0
_TEN_YEARS = 10 * 365 * 86_400.0
#: Ten years of seconds after 1970: smaller numbers are no times.
_PLAUSIBLE_TIME = 3.2e8
#: A statistic over all time explains a feature from this rank correlation on, if the one known then does so worse.
_SAME = 0.97
#: A target mean explains a feature from this rank correlation on.
_SAME_TARGET = 0.99
#: A single feature that orders the labels this well is suspect.
_WARN_AUC, _FAIL_AUC = 0.95, 0.99
_MIN_ROWS = 50
#: Rows that every fit looks at: some tenths of a second.
_SAMPLED_ROWS = 20_000
_MIN_POSITIVES = 20
_MIN_IDS = 20
#: Two columns with fewer different pairs of values may have one order by chance.
_MIN_DISTINCT = 20
#: A split is one within users if so many users are in order and so many test rows lie before the end of train.
_USERS_IN_ORDER, _EARLY_ROWS = 0.95, 0.05


@dataclass(frozen=True, eq=False, repr=False)
class LeakageReport(CheckReport):
    """Checks of :func:`detect_leakage`; each finding names the feature as ``subject`` and has its evidence.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.validation.report.CheckReport`.
    """

    @property
    def features(self) -> tuple[str, ...]:
        """Features with a finding, each once."""
        return tuple(dict.fromkeys(check.subject for check in self.findings if check.subject))


def detect_leakage(
    train: RankingData | Dataset,
    test: RankingData | Dataset | None = None,
    *,
    events: Dataset | None = None,
    available_at: Mapping[str, AnyArray] | None = None,
    warn_auc: float = _WARN_AUC,
    fail_auc: float = _FAIL_AUC,
) -> LeakageReport:
    """Look for features and splits that know the labels which the model is to predict.

    Parameters
    ----------
    train : RankingData or Dataset
        The rows to learn from. A Dataset has no features: only the split is checked.
    test : RankingData or Dataset, optional
        The rows to evaluate on; by default the validation part of ``train``.
    events : Dataset, optional
        The whole event log, with the events after the requests: needed to tell popularity at the time from popularity
        over all time.
    available_at : mapping of str to array_like, shape (N,), optional
        By feature, when the newest information behind each row became known. Features whose values are times are
        checked anyway.
    warn_auc, fail_auc : float
        A single feature that orders the labels this well is suspect.

    Returns
    -------
    LeakageReport
        The checks ``leak.future``, ``leak.all_time``, ``leak.target_mean``, ``leak.auc``, ``leak.ids``,
        ``leak.time_overlap``, ``leak.row_overlap`` and ``leak.per_user_split``.

    Raises
    ------
    DataError
        If ``available_at`` names no feature or has another length.

    Notes
    -----
    The checks are statistical: they find a leak that shows in the rows. Counts, weights and times since the last event
    of items, users, pairs, labels of items, and users with labels are recomputed as of each request, in the windows
    before it, in the windows after it and over the whole log. A feature leaks that follows one of those which nobody
    knew, and none that was known as closely, so both must differ: rows close to the end of the log cannot tell them
    apart.

    Examples
    --------
    >>> from recokit.datasets import make_marketplace
    >>> data = make_marketplace(200, 100, days=30, seed=1).dataset
    >>> before, after = data.split_at("2025-01-24")
    >>> print(detect_leakage(before, after)["leak.time_overlap"])
    ok   leak.time_overlap: the test part starts after the train part ends
    """
    for rows in (train, test):
        if not isinstance(rows, RankingData | Dataset) and (rows is not None or rows is train):
            raise ConfigurationError(
                f"found a {type(rows).__name__} to look for leaks in; expected RankingData or a Dataset; hint: of what "
                "Pipeline.training_data returns, the rows are .data"
            )
    checks: list[Check] = []
    if isinstance(train, RankingData):
        checks += _of_features(train, events, available_at or {}, warn_auc, fail_auc)
        test = train.validation if test is None else test
    checks += _split(train, test)
    return LeakageReport(f"Leakage in {len(_Keys.of(train).user):,} rows", tuple(checks))


def leaking_features(train: RankingData, events: Dataset) -> dict[str, str]:
    """Return the features that leak in a sample of whole groups, each with its first finding."""
    n = len(train.offsets) - 1
    every = max(-(-len(train) // _SAMPLED_ROWS), 1)
    sample = replace(train.take(np.arange(0, n, every)), validation=None)
    checks = _of_features(sample, events, {}, _WARN_AUC, _FAIL_AUC, deep=False)
    findings = LeakageReport("", tuple(checks)).findings
    return {check.subject: check.message for check in reversed(findings) if check.subject}


def _of_features(
    data: RankingData,
    events: Dataset | None,
    available_at: Mapping[str, AnyArray],
    warn_auc: float,
    fail_auc: float,
    *,
    deep: bool = True,
) -> list[Check]:
    """Return the checks of features; ``deep`` recomputes more statistics than there is time for in a fit."""
    return [
        *_future(data, available_at),
        *_all_time(data, events, deep),
        *_target_mean(data, events),
        *_single_feature_auc(data, warn_auc, fail_auc),
        *_IDS.checks(_id_features(data)),
    ]


@dataclass(frozen=True)
class _Leak:
    """A kind of leak: the name of its check, what a pass needs, and what to do about it."""

    name: str
    expected: str
    clean: str
    hint: str

    def finding(
        self,
        feature: str,
        message: str,
        evidence: Mapping[str, Any],
        *,
        status: Status = "fail",
        rows: Any = (),
    ) -> Check:
        return Check(
            name=self.name,
            status=status,
            message=f"{feature} {message}",
            expected=self.expected,
            hint=self.hint,
            subject=feature,
            rows=np.asarray(rows, np.int64),
            evidence=evidence,
        )

    def checks(self, findings: Iterable[Check]) -> list[Check]:
        """Return the findings, or that there are none."""
        return list(findings) or [Check(self.name, "pass", self.clean, self.expected)]

    def not_checked(self, reason: str, hint: str = "") -> list[Check]:
        return [Check(self.name, "not checked", reason, self.expected, hint)]


_FUTURE = _Leak(
    "leak.future",
    expected="features known before the request",
    clean="no feature is newer than its request",
    hint="compute it from the events strictly before the request",
)
_ALL_TIME = _Leak(
    "leak.all_time",
    expected="statistics of the events before each request",
    clean="no feature follows a count or rate over all time",
    hint="count only the events strictly before each request",
)
_TARGET_MEAN = _Leak(
    "leak.target_mean",
    expected="encodings of other rows' labels, known before",
    clean="no feature is the mean label of its rows",
    hint="encode each row by labels from before its request, its own left out",
)
_IDS = _Leak(
    "leak.ids",
    expected="features that mean something for a user or item never seen",
    clean="no feature is an id",
    hint="drop it, or use what the id stands for",
)


def _columns(data: RankingData) -> Iterator[tuple[str, FloatArray]]:
    for column, name in enumerate(data.feature_names):
        yield name, np.asarray(data.features[:, column], np.float64)


def _future(data: RankingData, available_at: Mapping[str, AnyArray]) -> list[Check]:
    for name, times in available_at.items():
        if name not in data.feature_names:
            raise DataError(f"found no feature {name!r}; {did_you_mean(name, data.feature_names)}")
        if np.shape(times) != data.now.shape:
            raise DataError(f"found times of shape {np.shape(times)} for {name!r}; expected {data.now.shape}")
    return _FUTURE.checks(_features_from_the_future(data, available_at))


def _features_from_the_future(data: RankingData, available_at: Mapping[str, AnyArray]) -> Iterator[Check]:
    for feature, values in _columns(data):
        if feature in available_at:
            ahead = np.asarray(available_at[feature], np.float64) - data.now
            late = np.isfinite(ahead) & (ahead >= 0)
        elif _are_times(values, data.now):
            ahead = values - data.now
            late = np.isfinite(ahead) & (ahead > _TIME_PRECISION)
        else:
            continue
        rows = np.flatnonzero(late)
        if len(rows):
            lead = float(np.median(ahead[rows]))
            message = f"is newer than its request in {len(rows):,} of {len(late):,} rows, the median by {lead:,.0f} s"
            yield _FUTURE.finding(feature, message, {"rows": len(rows), "median_lead_s": lead}, rows=rows)


def _are_times(values: FloatArray, now: FloatArray) -> bool:
    known = values[np.isfinite(values) & (values != 0)]
    if not len(known) or not len(now):
        return False
    low, high = max(now.min() - _TEN_YEARS, _PLAUSIBLE_TIME), now.max() + _TEN_YEARS
    return bool(((known >= low) & (known <= high)).mean() > 0.99)


def _all_time(data: RankingData, events: Dataset | None, deep: bool) -> list[Check]:
    if events is None:
        return _ALL_TIME.not_checked("no event log was given", "pass events=, the whole log")
    rows = spread_rows(len(data.now))
    statistics = [
        EventStatistic(name, then[rows], ever[rows])
        for name, then, ever in event_statistics(data, events.interactions)
    ]
    sample = _sampled(data, rows)
    known, unknown = replayed(sample, events, deep=deep)
    return _ALL_TIME.checks(_features_of_all_time(sample, statistics, known, unknown if deep else []))


def _sampled(data: RankingData, rows: IntArray) -> RankingData:
    """Return single rows, each a group of its own: order within requests plays no part here."""
    return replace(
        data,
        features=data.features[rows],
        label=data.label[rows],
        weight=data.weight[rows],
        offsets=np.arange(len(rows) + 1),
        user=data.user[rows],
        item=data.item[rows],
        now=data.now[rows],
        columns={},
        validation=None,
    )


def _features_of_all_time(
    data: RankingData,
    statistics: Sequence[EventStatistic],
    known: Sequence[Replayed],
    unknown: Sequence[Replayed],
) -> Iterator[Check]:
    shared = Correlations()
    for feature, values in _columns(data):
        # Ranks among rows that only one feature knows are of no use to others.
        correlations = shared if np.isfinite(values).all() else Correlations()
        best = _statistic_followed(feature, values, statistics, correlations)
        ahead = _ahead(feature, values, unknown, correlations)
        best = max(filter(None, (best, ahead)), key=lambda one: abs(one.ever), default=None)
        if best is None:
            continue
        then = max(abs(best.then), _explained(feature, values, known, correlations))
        if 1 - abs(best.ever) > 0.5 * (1 - then):
            continue
        message = (
            f"follows the {best.name} (rank correlation {best.ever:.3f}), "
            f"and what was known at the request less ({then:.3f})"
        )
        evidence = {"statistic": best.name, "with_all_time": best.ever, "with_then": then}
        yield _ALL_TIME.finding(feature, message, evidence)


def _ahead(
    feature: str, values: FloatArray, unknown: Sequence[Replayed], correlations: Correlations
) -> _Followed | None:
    """Return the statistic that nobody knew at the requests, and that a feature follows most closely, if any."""
    best: _Followed | None = None
    for name, ever, key in unknown:
        rows = np.isfinite(values) & np.isfinite(ever)
        if rows.sum() < _MIN_ROWS:
            continue
        alike = correlations.between(feature, values, name, ever, rows=rows)
        if abs(alike) <= max(abs(best.ever) if best else 0.0, _SAME):
            continue
        # Few values have an order too, where they are of many users and items.
        many = len(np.unique(key[rows])) >= _MIN_IDS and abs(alike) >= _SAME_TARGET
        if many or _has_order(values[rows], ever[rows]):
            best = _Followed(name, alike, 0.0)
    return best


def _explained(
    feature: str, values: FloatArray, known: Sequence[Replayed], correlations: Correlations
) -> float:
    """Return how closely a feature follows what was known at the requests."""
    rows = np.isfinite(values)
    if rows.sum() < _MIN_ROWS:
        return 0.0
    each = (abs(correlations.between(feature, values, name, then, rows=rows)) for name, then, _ in known)
    return max(each, default=0.0)


class _Followed(NamedTuple):
    """Rank correlations of a feature with a statistic over all time, and as of the requests."""

    name: str
    ever: float
    then: float


def _statistic_followed(
    feature: str, values: FloatArray, statistics: Sequence[EventStatistic], correlations: Correlations
) -> _Followed | None:
    """Return the statistic over all time that a feature follows, if none that was known then explains it as well."""
    best, explained_then = _Followed("", 0.0, 0.0), 0.0
    for name, then, ever in statistics:
        known = np.isfinite(values) & np.isfinite(ever) & np.isfinite(then)
        if known.sum() < _MIN_ROWS:
            continue
        with_then = correlations.between(feature, values, f"{name}, then", then, rows=known)
        with_ever = correlations.between(feature, values, f"{name}, ever", ever, rows=known)
        explained_then = max(explained_then, abs(with_then))
        if abs(with_ever) > max(abs(best.ever), _SAME) and _has_order(values[known], ever[known]):
            best = _Followed(f"{name} over all time", with_ever, with_then)
    follows = bool(best.name) and 1 - abs(best.ever) <= 0.5 * (1 - explained_then)
    return best if follows else None


def _has_order(a: FloatArray, b: FloatArray) -> bool:
    """Whether there are enough different values for an order to mean anything: three users always have one."""
    return distinct_pairs(a, b) >= _MIN_DISTINCT


def _target_mean(data: RankingData, events: Dataset | None) -> list[Check]:
    if not _enough(data.label):
        return _TARGET_MEAN.not_checked("too few labels of both kinds")
    return _TARGET_MEAN.checks(_features_of_labels(data, list(label_counts(data, events))))


def _features_of_labels(data: RankingData, counts: Sequence[LabelCounts]) -> Iterator[Check]:
    rows = spread_rows(len(data.now))
    means = [(part.name, mean[rows]) for part in counts for mean in part.means()]
    correlations = Correlations()
    for feature, column in _columns(data):
        values = column[rows]
        best = next(((1.0, part.name) for part in counts if part.explain(column)), (0.0, ""))
        known = np.isfinite(values)
        for number, (name, mean) in enumerate(means if known.sum() >= _MIN_ROWS else ()):
            alike = abs(correlations.between(feature, values, f"{name} {number}", mean, rows=known))
            if alike > max(best[0], _SAME_TARGET) and _is_mean(values[known], mean[known]):
                best = (alike, name)
        alike, by = best
        if by:
            message = f"is the mean label by {by} over these very rows (rank correlation {alike:.3f})"
            yield _TARGET_MEAN.finding(feature, message, {"by": by, "correlation": alike})


def _is_mean(values: FloatArray, mean: FloatArray) -> bool:
    """Whether values in the order of a mean are that mean: by order if that can tell, else by the values themselves."""
    return _has_order(values, mean) or bool(np.allclose(values, mean, rtol=1e-4, atol=1e-6))


def _enough(label: AnyArray) -> bool:
    positive = int((label > 0).sum())
    return min(positive, len(label) - positive) >= _MIN_POSITIVES


def _single_feature_auc(data: RankingData, warn: float, fail: float) -> list[Check]:
    leak = _Leak(
        "leak.auc",
        expected=f"no single feature with AUC of {warn:g} or more",
        clean=f"no single feature has AUC of {warn:g} or more",
        hint="does it come from the event that is to be predicted?",
    )
    if not _enough(data.label):
        return leak.not_checked("too few labels of both kinds")
    positive = data.label > 0
    findings = []
    for feature, values in _columns(data):
        missing = ~np.isfinite(values)
        figures = {}
        told = ~_missing_throughout(missing, data.offsets)
        if _enough(positive[told]):
            figures["missing"] = area_under_curve(missing[told].astype(float), positive[told])
        if _enough(positive[~missing]):
            figures["value"] = area_under_curve(values[~missing], positive[~missing])
        if not figures:
            continue
        side = max(figures, key=lambda key: abs(figures[key] - 0.5))
        strength = max(figures[side], 1 - figures[side])
        if strength >= warn:
            by = "whether it is missing" if side == "missing" else "its value"
            message = f"alone orders the labels with AUC {strength:.4f}, by {by}"
            status: Status = "fail" if strength >= fail else "warn"
            evidence = {"auc": figures[side], "by": side}
            findings.append(leak.finding(feature, message, evidence, status=status))
    return leak.checks(findings)


def _missing_throughout(missing: BoolArray, offsets: IntArray) -> BoolArray:
    """Return the rows of requests in which a feature is missing everywhere, as all of a stranger's are.

    Newcomers are asked for because they came: that nothing is known of them goes with positives, and orders no list.
    """
    row = offsets_to_rows(offsets)
    known = np.bincount(row[~missing], minlength=len(offsets) - 1)
    return np.asarray((known == 0)[row] & (np.diff(offsets) > 1)[row])


def _id_features(data: RankingData) -> Iterator[Check]:
    for feature, values in _columns(data):
        for entity, code in (("user", data.user), ("item", data.item)):
            if _identifies(values, code):
                n = len(np.unique(code))
                message = f"is an id: a whole number of its own for each of {n:,} {entity}s"
                yield _IDS.finding(feature, message, {"entity": entity, "distinct": n})
                break


def _identifies(values: FloatArray, code: IntArray) -> bool:
    """Whether values are whole numbers, one for each code and another for each other."""
    if not np.isfinite(values).all() or not (values == np.floor(values)).all():
        return False
    n_codes = len(np.unique(code))
    if n_codes < _MIN_IDS or len(np.unique(values)) != n_codes:
        return False
    return len(np.unique(np.stack([values, code.astype(np.float64)]), axis=1).T) == n_codes


class _Keys(NamedTuple):
    """User, item and time of the rows of a part, (N,) each."""

    user: IntArray
    item: IntArray
    time: FloatArray

    @classmethod
    def of(cls, data: RankingData | Dataset) -> _Keys:
        if isinstance(data, RankingData):
            return cls(data.user, data.item, data.now)
        log = data.interactions
        return cls(log.user, log.item, log.timestamp)


def _split(train: RankingData | Dataset, test: RankingData | Dataset | None) -> list[Check]:
    if test is None or not len(_Keys.of(test).user) or not len(_Keys.of(train).user):
        names = ("leak.time_overlap", "leak.row_overlap", "leak.per_user_split")
        return [Check(name, "not checked", "no test part was given", hint="pass test=") for name in names]
    if isinstance(train, Dataset) and isinstance(test, Dataset) and train.item_ids is not test.item_ids:
        same = np.array_equal(train.item_ids.ids, test.item_ids.ids)
        if not same or not np.array_equal(train.user_ids.ids, test.user_ids.ids):
            raise DataError("found parts with different vocabularies; expected both of one dataset")
    parts = _Keys.of(train), _Keys.of(test)
    return [_time_overlap(*parts), _row_overlap(*parts), _per_user_split(*parts)]


def _time_overlap(train: _Keys, test: _Keys) -> Check:
    end = float(train.time.max())
    early = np.flatnonzero(test.time < end)
    name, expected = "leak.time_overlap", "test rows after all train rows"
    evidence = {"rows": len(early), "train_until": end, "test_from": float(test.time.min())}
    if not len(early):
        message = "the test part starts after the train part ends"
        return Check(name, "pass", message, expected, evidence=evidence)
    message = f"{len(early):,} of {len(test.time):,} test rows are older than the newest train row"
    hint = "split by one moment for all: train before, test after"
    return Check(name, "fail", message, expected, hint, rows=early, evidence=evidence)


def _row_overlap(train: _Keys, test: _Keys) -> Check:
    rows = np.concatenate([np.stack(train), np.stack(test)], axis=1)
    key = np.unique(rows, axis=1, return_inverse=True)[1].ravel()
    n = len(train.user)
    twice = np.flatnonzero(np.isin(key[n:], key[:n]))
    name, expected, evidence = "leak.row_overlap", "rows on one side only", {"rows": len(twice)}
    if not len(twice):
        return Check(name, "pass", "no test row is in the train part", expected, evidence=evidence)
    message = f"{len(twice):,} of {len(test.user):,} test rows are in the train part too"
    hint = "drop duplicates before the split"
    return Check(name, "fail", message, expected, hint, rows=twice, evidence=evidence)


def _per_user_split(train: _Keys, test: _Keys) -> Check:
    """Check whether the split is by time within users, but not for all at once."""
    name, expected = "leak.per_user_split", "one moment for all users"
    n = int(max(train.user.max(), test.user.max())) + 1
    last, first = np.full(n, -np.inf), np.full(n, np.inf)
    np.maximum.at(last, train.user, train.time)
    np.minimum.at(first, test.user, test.time)
    both = np.isfinite(last) & np.isfinite(first)
    ordered = float((last[both] <= first[both]).mean()) if both.any() else 0.0
    early = float((test.time < train.time.max()).mean())
    evidence = {"users_in_order": ordered, "test_rows_before_train_end": early}
    if both.sum() < 2 or ordered < _USERS_IN_ORDER or early < _EARLY_ROWS:
        return Check(name, "pass", "the parts are not split user by user", expected, evidence=evidence)
    message = (
        f"within {ordered:.0%} of {both.sum():,} users test follows train, but {early:.0%} of the test rows lie "
        "before the end of train: the model learns from other users' future"
    )
    return Check(
        name, "fail", message, expected, "split by one moment for all: Dataset.split_at", evidence=evidence
    )
