"""Leakage: features and splits that know what the model is to predict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from recokit._stats.ranks import Correlations, area_under_curve, distinct_pairs, spread_rows
from recokit.data import Dataset, Interactions, RankingData
from recokit.data.validation.report import Check, CheckReport
from recokit.errors import DataError, did_you_mean
from recokit.typing import AnyArray, FloatArray, IntArray

__all__ = [
    "LabelCounts",
    "LeakageReport",
    "detect_leakage",
    "label_counts",
    "leaking_features",
    "rates_and_counts",
]


#: Float32 holds times of today to 128 s.
_TIME_PRECISION = 128.0


_YEARS_10 = 10 * 365 * 86_400.0


#: Ten years of seconds after 1970: smaller numbers are no times.
_PLAUSIBLE_TIME = 3.2e8


#: A statistic over all time explains a feature from this rank correlation on, if what was known then does so worse.
_SAME = 0.97


#: A target mean explains a feature from this rank correlation on.
_SAME_TARGET = 0.99


_LEAST_ROWS = 50


#: Rows that every fit looks at: some tenths of a second.
_SAMPLED_ROWS = 20_000


_LEAST_POSITIVES = 20


_LEAST_IDS = 20


#: Two columns with fewer different pairs of values may have one order by chance.
_LEAST_DISTINCT = 20


@dataclass(frozen=True, eq=False, repr=False)
class LeakageReport(CheckReport):
    """What :func:`detect_leakage` found; each finding names the feature as ``subject`` and has its evidence.

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
    warn_auc: float = 0.95,
    fail_auc: float = 0.99,
) -> LeakageReport:
    """Look for features and splits that know what the model is to predict.

    Parameters
    ----------
    train : RankingData or Dataset
        What the model learns from. A Dataset has no features: only the split is checked.
    test : RankingData or Dataset, optional
        What it is judged by; by default the validation part of ``train``.
    events : Dataset, optional
        The whole event log, with what happened after the requests: needed to tell popularity at the time from
        popularity over all time.
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
    The checks are statistical: they find a leak that shows in the rows. A statistic over all time is told from one
    as of the request by which of both orders the rows as the feature does, so both must differ: rows close to the
    end of the log cannot tell them apart.

    Examples
    --------
    >>> from recokit.datasets import make_marketplace
    >>> data = make_marketplace(200, 100, days=30, seed=1).dataset
    >>> before, after = data.split_at("2025-01-24")
    >>> print(detect_leakage(before, after)["leak.time_overlap"])
    ok   leak.time_overlap: the test part starts after the train part ends
    """
    checks: list[Check] = []
    if isinstance(train, RankingData):
        checks += _future(train, available_at or {})
        checks += _all_time(train, events)
        checks += _target_mean(train, events)
        checks += _auc_checks(train, warn_auc, fail_auc)
        checks += _ids(train)
        test = train.validation if test is None else test
    checks += _split(train, test)
    return LeakageReport(f"Leakage in {len(_keys(train)[0]):,} rows", tuple(checks))


def leaking_features(train: RankingData, events: Dataset) -> dict[str, str]:
    """Return the features that :func:`detect_leakage` finds in a sample of whole groups, and what it says of them."""
    n = len(train.offsets) - 1
    every = max(-(-len(train) // _SAMPLED_ROWS), 1)
    sample = replace(train.take(np.arange(0, n, every)), validation=None)
    findings = detect_leakage(sample, events=events).findings
    return {check.subject: check.message for check in reversed(findings) if check.subject}


def _columns(data: RankingData) -> Iterator[tuple[str, FloatArray]]:
    for column, name in enumerate(data.feature_names):
        yield name, np.asarray(data.features[:, column], np.float64)


def _or_pass(name: str, found: Iterable[Check], passed: str, expected: str) -> list[Check]:
    checks = list(found)
    return checks or [Check(name, "pass", passed, expected)]


def _future(data: RankingData, available_at: Mapping[str, AnyArray]) -> list[Check]:
    for name, times in available_at.items():
        if name not in data.feature_names:
            raise DataError(f"found no feature {name!r}; {did_you_mean(name, data.feature_names)}")
        if np.shape(times) != data.now.shape:
            raise DataError(f"found times of shape {np.shape(times)} for {name!r}; expected {data.now.shape}")

    def found() -> Iterator[Check]:
        for name, values in _columns(data):
            if name in available_at:
                known_at, slack = np.asarray(available_at[name], np.float64), 0.0
            elif _are_times(values, data.now):
                known_at, slack = values, _TIME_PRECISION
            else:
                continue
            ahead = known_at - data.now
            n_rows = len(data.now)
            late = np.isfinite(ahead) & (ahead > slack if slack else ahead >= 0)
            if not late.any():
                continue
            rows = np.flatnonzero(late)
            lead = float(np.median(ahead[rows]))
            yield Check(
                "leak.future",
                "fail",
                f"{name} is newer than its request in {len(rows):,} of {n_rows:,} rows, "
                f"the median by {lead:,.0f} s",
                "features known before the request",
                "compute it from the events strictly before the request",
                name,
                rows,
                {"rows": len(rows), "median_lead_s": lead},
            )

    return _or_pass(
        "leak.future", found(), "no feature is newer than its request", "features known before it"
    )


def _are_times(values: FloatArray, now: FloatArray) -> bool:
    known = values[np.isfinite(values) & (values != 0)]
    if not len(known) or not len(now):
        return False
    low, high = max(now.min() - _YEARS_10, _PLAUSIBLE_TIME), now.max() + _YEARS_10
    return bool(((known >= low) & (known <= high)).mean() > 0.99)


def _all_time(data: RankingData, events: Dataset | None) -> list[Check]:
    name, expected = "leak.all_time", "statistics of the events before each request"
    if events is None:
        return [Check(name, "not checked", "no event log was given", expected, "pass events=, the whole log")]
    rows = spread_rows(len(data.now))
    statistics = [
        (what, then[rows], ever[rows]) for what, then, ever in rates_and_counts(data, events.interactions)
    ]
    correlations = Correlations()

    def found() -> Iterator[Check]:
        for feature, column in _columns(data):
            values = column[rows]
            best, known = (0.0, 0.0, ""), 0.0
            for what, then, ever in statistics:
                ok = np.isfinite(values) & np.isfinite(ever) & np.isfinite(then)
                if ok.sum() < _LEAST_ROWS:
                    continue
                now_like = correlations.between(feature, values, f"{what}, then", then, ok)
                ever_like = correlations.between(feature, values, f"{what}, ever", ever, ok)
                known = max(known, abs(now_like))
                if abs(ever_like) > max(abs(best[0]), _SAME) and _tell(values[ok], ever[ok]):
                    best = (ever_like, now_like, what)
            if not best[2] or 1 - abs(best[0]) > 0.5 * (1 - known):
                continue
            yield Check(
                name,
                "fail",
                f"{feature} follows the {best[2]} over all time (rank correlation {best[0]:.3f}), "
                f"and what was known at the request less ({best[1]:.3f})",
                expected,
                "count only the events strictly before each request",
                feature,
                evidence={"statistic": best[2], "with_all_time": best[0], "with_then": best[1]},
            )

    return _or_pass(name, found(), "no feature follows a count or rate over all time", expected)


def _tell(a: FloatArray, b: FloatArray) -> bool:
    """Whether there are enough different values for an order to mean anything: three users always have one."""
    return distinct_pairs(a, b) >= _LEAST_DISTINCT


def _target_mean(data: RankingData, events: Dataset | None) -> list[Check]:
    name, expected = "leak.target_mean", "encodings of other rows' labels, known before"
    if not _enough(data.label):
        return [Check(name, "not checked", "too few labels of both kinds", expected)]
    rows = spread_rows(len(data.now))
    counts = list(label_counts(data, events))
    means = [(part.name, mean[rows]) for part in counts for mean in part.means()]
    correlations = Correlations()

    def found() -> Iterator[Check]:
        for feature, column in _columns(data):
            values = column[rows]
            best = next(((1.0, part.name) for part in counts if part.explain(column)), (0.0, ""))
            for number, (what, mean) in enumerate(means):
                ok = np.isfinite(values) & np.isfinite(mean)
                if ok.sum() < _LEAST_ROWS:
                    continue
                alike = abs(correlations.between(feature, values, f"{what} {number}", mean, ok))
                if alike > max(best[0], _SAME_TARGET) and _is_mean(values[ok], mean[ok]):
                    best = (alike, what)
            if not best[1]:
                continue
            yield Check(
                name,
                "fail",
                f"{feature} is the mean label by {best[1]} over these very rows (rank correlation {best[0]:.3f})",
                expected,
                "encode each row by labels from before its request, its own left out",
                feature,
                evidence={"by": best[1], "correlation": best[0]},
            )

    return _or_pass(name, found(), "no feature is the mean label of its rows", expected)


def _is_mean(values: FloatArray, mean: FloatArray) -> bool:
    """Whether values in the order of a mean are that mean: by order if that can tell, else by the values themselves."""
    return _tell(values, mean) or bool(np.allclose(values, mean, rtol=1e-4, atol=1e-6))


def _enough(label: AnyArray) -> bool:
    positive = int((label > 0).sum())
    return min(positive, len(label) - positive) >= _LEAST_POSITIVES


def _auc_checks(data: RankingData, warn: float, fail: float) -> list[Check]:
    name, expected = "leak.auc", f"no single feature with AUC of {warn:g} or more"
    if not _enough(data.label):
        return [Check(name, "not checked", "too few labels of both kinds", expected)]
    positive = data.label > 0

    def found() -> Iterator[Check]:
        for feature, values in _columns(data):
            missing = ~np.isfinite(values)
            figures = {"missing": area_under_curve(missing.astype(float), positive)}
            if _enough(positive[~missing]):
                figures["value"] = area_under_curve(values[~missing], positive[~missing])
            side = max(figures, key=lambda key: abs(figures[key] - 0.5))
            strength = max(figures[side], 1 - figures[side])
            if strength < warn:
                continue
            what = "whether it is missing" if side == "missing" else "its value"
            yield Check(
                name,
                "fail" if strength >= fail else "warn",
                f"{feature} alone orders the labels with AUC {strength:.4f}, by {what}",
                expected,
                "does it come from the event that is to be predicted?",
                feature,
                evidence={"auc": figures[side], "by": side},
            )

    return _or_pass(name, found(), f"no single feature has AUC of {warn:g} or more", expected)


def _ids(data: RankingData) -> list[Check]:
    name, expected = "leak.ids", "features that mean something for a user or item never seen"

    def found() -> Iterator[Check]:
        for feature, values in _columns(data):
            for entity, code in (("user", data.user), ("item", data.item)):
                if not _identifies(values, code):
                    continue
                yield Check(
                    name,
                    "fail",
                    f"{feature} is an id: a whole number of its own for each of {len(np.unique(code)):,} {entity}s",
                    expected,
                    "drop it, or use what the id stands for",
                    feature,
                    evidence={"entity": entity, "distinct": len(np.unique(code))},
                )
                break

    return _or_pass(name, found(), "no feature is an id", expected)


def _identifies(values: FloatArray, code: IntArray) -> bool:
    """Whether values are whole numbers, one for each code and another for each other."""
    if not np.isfinite(values).all() or not (values == np.floor(values)).all():
        return False
    n_codes = len(np.unique(code))
    if n_codes < _LEAST_IDS or len(np.unique(values)) != n_codes:
        return False
    return distinct_pairs(values, code.astype(np.float64)) == n_codes


def _keys(data: RankingData | Dataset) -> tuple[IntArray, IntArray, FloatArray]:
    if isinstance(data, RankingData):
        return data.user, data.item, data.now
    log = data.interactions
    return log.user, log.item, log.timestamp


def _split(train: RankingData | Dataset, test: RankingData | Dataset | None) -> list[Check]:
    names = ("leak.time_overlap", "leak.row_overlap", "leak.per_user_split")
    if test is None or not len(_keys(test)[0]) or not len(_keys(train)[0]):
        return [Check(name, "not checked", "no test part was given", hint="pass test=") for name in names]
    if isinstance(train, Dataset) and isinstance(test, Dataset) and train.item_ids is not test.item_ids:
        same = np.array_equal(train.item_ids.ids, test.item_ids.ids)
        if not same or not np.array_equal(train.user_ids.ids, test.user_ids.ids):
            raise DataError("found parts with different vocabularies; expected both of one dataset")
    user, item, time = _keys(train)
    user2, item2, time2 = _keys(test)
    end = float(time.max())
    early = np.flatnonzero(time2 < end)
    hint = "split by one moment for all: train before, test after"
    overlap = Check(
        names[0],
        "fail" if len(early) else "pass",
        f"{len(early):,} of {len(time2):,} test rows are older than the newest train row"
        if len(early)
        else "the test part starts after the train part ends",
        "test rows after all train rows",
        hint if len(early) else "",
        rows=early,
        evidence={"rows": len(early), "train_until": end, "test_from": float(time2.min())},
    )
    pairs = np.concatenate([np.stack([user, item, time]), np.stack([user2, item2, time2])], axis=1)
    _, key = np.unique(pairs, axis=1, return_inverse=True)
    key = key.ravel()
    twice = np.flatnonzero(np.isin(key[len(user) :], key[: len(user)]))
    rows = Check(
        names[1],
        "fail" if len(twice) else "pass",
        f"{len(twice):,} of {len(time2):,} test rows are in the train part too"
        if len(twice)
        else "no test row is in the train part",
        "rows on one side only",
        "drop duplicates before the split" if len(twice) else "",
        rows=twice,
        evidence={"rows": len(twice)},
    )
    return [overlap, rows, _per_user(user, time, user2, time2)]


def _per_user(user: IntArray, time: FloatArray, user2: IntArray, time2: FloatArray) -> Check:
    """Check whether the split is by time within users, but not for all at once."""
    name, expected = "leak.per_user_split", "one moment for all users"
    n = int(max(user.max(), user2.max())) + 1
    last, first = np.full(n, -np.inf), np.full(n, np.inf)
    np.maximum.at(last, user, time)
    np.minimum.at(first, user2, time2)
    both = np.isfinite(last) & np.isfinite(first)
    ordered = float((last[both] <= first[both]).mean()) if both.any() else 0.0
    early = float((time2 < time.max()).mean())
    evidence = {"users_in_order": ordered, "test_rows_before_train_end": early}
    if both.sum() >= 2 and ordered >= 0.95 and early >= 0.05:
        return Check(
            name,
            "fail",
            f"within {ordered:.0%} of {both.sum():,} users test follows train, but {early:.0%} of the test rows lie "
            "before the end of train: the model learns from other users' future",
            expected,
            "split by one moment for all: Dataset.split_at",
            evidence=evidence,
        )
    return Check(name, "pass", "the parts are not split user by user", expected, evidence=evidence)


#: Rows of prior by which target means are smoothed.
_PRIORS = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0)


#: Fewer groups may lie on a line by chance.
_LEAST_GROUPS = 5


#: Event types that rates are made of: with more, the pairs would be too many.
_MOST_EVENTS = 6


def rates_and_counts(data: RankingData, log: Interactions) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Yield statistics of each row's item and user: a name, the value at the request, the value over all time."""
    for entity, of_log, of_row in (("item", log.item, data.item), ("user", log.user, data.user)):
        then, ever = {}, {}
        kinds = log.event_names[:_MOST_EVENTS]
        for code, event in enumerate(kinds):
            at = np.flatnonzero(log.event == code)
            then[event], ever[event] = _counts(of_log[at], log.timestamp[at], of_row, data.now)
            yield f"{entity}'s number of {event} events", then[event], ever[event]
        if len(kinds) > 1:
            then_all, ever_all = _counts(of_log, log.timestamp, of_row, data.now)
            yield f"{entity}'s number of events", then_all, ever_all
        for low, weak in enumerate(kinds):
            for strong in kinds[low + 1 :]:
                name = f"{entity}'s rate of {strong} by {weak}"
                yield name, _rate(then[strong], then[weak]), _rate(ever[strong], ever[weak])


def _rate(part: FloatArray, whole: FloatArray) -> FloatArray:
    rate: FloatArray = np.where(whole > 0, part / np.maximum(whole, 1.0), np.nan)
    return rate


def _counts(
    code: IntArray, time: FloatArray, wanted: IntArray, now: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how many events each row's code has strictly before its request, and at all."""
    total = np.bincount(code, minlength=int(wanted.max(initial=0)) + 1).astype(np.float64)
    # Events and requests in one order by code and time; a request stands before events of its moment.
    codes = np.concatenate([code, wanted])
    times = np.concatenate([time, now])
    is_event = np.concatenate([np.ones(len(code), np.int64), np.zeros(len(wanted), np.int64)])
    order = np.lexsort((is_event, times, codes))
    seen = np.cumsum(is_event[order])
    before = np.empty(len(codes), np.float64)
    before[order] = seen
    start = np.concatenate([[0.0], np.cumsum(total)])
    return before[len(code) :] - start[wanted], total[wanted]


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Rows and positives by item, user or category.

    Parameters
    ----------
    name : str
    at : ndarray of int64, shape (N,)
        Group of each row.
    rows, hits : ndarray, shape (K,)
        Rows and positives of each group.
    """

    name: str
    at: IntArray
    rows: FloatArray
    hits: FloatArray

    def means(self) -> Iterator[FloatArray]:
        """Yield each row's mean label with several priors, (N,)."""
        prior = self.hits.sum() / max(self.rows.sum(), 1.0)
        for weight in _PRIORS:
            yield ((self.hits + weight * prior) / (self.rows + weight))[self.at]

    def explain(self, values: FloatArray) -> bool:
        """Tell whether values (N,) are mean labels with some prior of some weight.

        If so, ``value x rows - hits`` is linear in the value: ``weight x prior - weight x value``.
        """
        known = np.isfinite(values)
        size = np.bincount(self.at[known], minlength=len(self.rows))
        filled = size > 0
        if filled.sum() < _LEAST_GROUPS:
            return False
        total = np.bincount(self.at[known], values[known], len(self.rows))
        value = total / np.maximum(size, 1)
        spread = np.abs(values[known] - value[self.at[known]]).max()
        if spread > 1e-5 * max(float(np.abs(value).max()), 1e-300):
            return False
        left = (value * self.rows - self.hits)[filled]
        design = np.stack([np.ones(len(left)), -value[filled]], axis=1)
        residual = left - design @ np.linalg.lstsq(design, left, rcond=None)[0]
        varying = self.hits[filled] - self.hits[filled].mean()
        return bool((residual**2).sum() <= 1e-6 * (varying**2).sum() and (varying != 0).any())


def label_counts(data: RankingData, events: Dataset | None) -> Iterator[LabelCounts]:
    """Yield rows and positives by item, user and categories of both, over these rows."""
    keys = {"item": data.item, "user": data.user}
    if events is not None:
        for entity, table, code in (("item", events.items, data.item), ("user", events.users, data.user)):
            keys |= {f"{entity}.{name}": table.column(name)[code] for name in table.categorical}
    positive = (data.label > 0).astype(np.float64)
    for name, key in keys.items():
        _, at = np.unique(key, return_inverse=True)
        rows, hits = np.bincount(at), np.bincount(at, weights=positive)
        if len(rows) >= 3 and (rows > 1).any():
            yield LabelCounts(name, at, rows.astype(np.float64), hits.astype(np.float64))
