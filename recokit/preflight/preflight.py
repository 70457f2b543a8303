"""preflight: the launch checklist as one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from recokit._utils.options import require, shown, whole
from recokit.data import Dataset, timestamp
from recokit.data.dataset import require_dataset
from recokit.data.validation.report import Check
from recokit.errors import ConfigurationError, DataError, NotFittedError, RecokitError, did_you_mean
from recokit.monitoring import ReferenceProfile
from recokit.pipeline.pipeline import Pipeline
from recokit.preflight import data_items, quality_items, rule_items, serving_items
from recokit.preflight.columns import read_columns
from recokit.preflight.context import LaunchContext
from recokit.preflight.limits import PreflightLimits
from recokit.preflight.report import PreflightReport
from recokit.protocols import Recommender
from recokit.typing import AnyArray

#: The items by name, in the order of the report.
CHECKLIST: Mapping[str, Callable[[LaunchContext], Check]] = {
    "data.valid": data_items.training_data,
    "data.drift": data_items.drift,
    "data.duplicates": data_items.duplicates,
    "data.negatives": data_items.negatives,
    "data.events": data_items.event_weights,
    "data.amount": data_items.amount,
    "quality.baseline": quality_items.against_baseline,
    "quality.segments": quality_items.segments,
    "serving.latency": serving_items.latency,
    "serving.fallback": serving_items.fallback,
    "rules.stock": rule_items.stock,
    "rules.owned": rule_items.owned,
    "rules.policy": rule_items.policy,
    "rules.categories": rule_items.categories,
    "rules.disclosure": rule_items.disclosure,
    "rules.sellers": rule_items.sellers,
    "rules.removals": rule_items.removals,
    "serving.slower": serving_items.slower,
    "serving.outcomes": serving_items.outcomes,
    "quality.catalogue": quality_items.catalogue,
    "serving.errors": serving_items.errors,
    "quality.cold_start": quality_items.cold_start,
}


def preflight(
    pipeline: Any,
    train: Dataset,
    test: Dataset | None = None,
    *,
    baseline: Any = None,
    now: str | float | None = None,
    context: Mapping[str, Any] | None = None,
    profile: ReferenceProfile | None = None,
    negatives: Any = None,
    event_ids: AnyArray | None = None,
    impressions: Any = None,
    in_stock: str | AnyArray | None = "in_stock",
    consumable: str | AnyArray | None = "consumable",
    blocked: str | AnyArray | Collection[Any] | None = None,
    sponsored: str | AnyArray | None = "sponsored",
    category: str | AnyArray | None = "category",
    seller: str | AnyArray | None = "seller",
    by: Any = "activity",
    n_users: int = 200,
    n_requests: int = 50,
    limits: PreflightLimits | None = None,
    **changes: Any,
) -> PreflightReport:
    """Check a fitted pipeline and its data against the launch checklist.

    Every item gives pass, warn, fail or "not checked", with evidence. Rules are judged on the lists that come out, not
    by whether the pipeline has a stage of some name. Observers of the pipelines see nothing of it.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted; what is to be launched.
    train : Dataset
        The data that it learned from.
    test : Dataset, optional
        A later part of the same data.
    baseline : Pipeline, optional
        The one that serves now, or the simplest that would do.
    now : str or float, optional
        Time of launch; the cut of train by default, else just after its last event.
    context : mapping of str to value, optional
        Context columns of the requests that are made: a value for all, or a mapping of user id to value.
    profile : ReferenceProfile, optional
        Of the features that the ranker learned from; by default the pipeline's own, ``pipeline.profile``.
    negatives : NegativeSampler, or pair of ndarray of int64, optional
        Fitted on train, or user and item codes drawn elsewhere; see :func:`recokit.training.audit`.
    event_ids : array_like, shape (M,), optional
        One id for each event of ``train.interactions``: what was sent twice is found by its id.
    impressions : object, optional
        What was shown, where the log itself has no such events; as in :func:`recokit.data.validate`.
    in_stock, consumable, blocked, sponsored : str or ndarray of shape (n_items + 1,), optional
        Item column of ``train``, or values by item code: above 0 is yes, NaN unknown. Where the table lacks the column
        of the default name, it is not checked. ``blocked`` may also be a list, tuple or set of item ids.
    category, seller : str or ndarray of shape (n_items + 1,), optional
        The same, of groups.
    by : str, Categorical, ndarray or mapping, default "activity"
        Segments, as in :func:`recokit.evaluate`.
    n_users : int, default 200
        Users, spread over those of train, whose lists are looked at.
    n_requests : int, default 50
        Single requests that are timed.
    limits : PreflightLimits, optional
        Where to warn and fail.
    **changes
        Single limits, by name, such as ``budget_ms=50`` or ``max_age="48h"``.

    Returns
    -------
    PreflightReport

    Raises
    ------
    ConfigurationError
        For an unknown option or limit, numbers below 1, a column that the item table lacks, or values that are not by
        item code.
    NotFittedError
        If the pipeline or the baseline is not fitted.
    DataError
        If train or test is no Dataset, or train has no users.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(data)
    >>> report = rk.preflight(pipeline, data, n_requests=1)
    >>> report["serving.outcomes"].status, report["serving.fallback"].status
    ('not checked', 'fail')
    >>> report.exit_code()
    1
    """
    require(whole(1), n_users=n_users, n_requests=n_requests)
    _require_inputs(train, test, models=(pipeline, baseline))
    if context is not None:
        pipeline = pipeline.with_context(context)
        baseline = None if baseline is None else baseline.with_context(context)
    if now is None:
        now = train.cut if train.cut is not None else float(np.nextafter(train.until, np.inf))
    if profile is None and isinstance(pipeline, Pipeline):
        profile = pipeline.profile
    columns = {
        "in_stock": in_stock,
        "consumable": consumable,
        "sponsored": sponsored,
        "category": category,
        "seller": seller,
        "blocked": blocked,
    }
    launch = LaunchContext(
        pipeline=pipeline,
        train=train,
        test=test,
        baseline=baseline,
        now=timestamp(now),
        users=_sample(train, n_users),
        profile=profile,
        negatives=negatives,
        event_ids=event_ids,
        impressions=impressions,
        columns=read_columns(train, columns, _DEFAULTS),
        by=by,
        n_requests=n_requests,
        limits=_limits(limits or PreflightLimits(), changes),
    ).without_observers()
    checks = tuple(_judge(name, item, launch) for name, item in CHECKLIST.items())
    return PreflightReport(f"Launch checklist of {len(CHECKLIST)} items", checks)


#: The options by name; the rest of ``changes`` are limits.
_DEFAULTS = {
    name: option.default
    for name, option in inspect.signature(preflight).parameters.items()
    if option.kind is option.KEYWORD_ONLY
}


def _require_inputs(train: Dataset, test: Dataset | None, models: tuple[object, object]) -> None:
    require_dataset(train, "train")
    if test is not None:
        require_dataset(test, "test")
    for model, needed in zip(models, (True, False), strict=True):
        if (needed or model is not None) and (isinstance(model, type) or not isinstance(model, Recommender)):
            raise ConfigurationError(f"found {shown(model)} to check; expected a fitted pipeline")


def _limits(limits: PreflightLimits, changes: Mapping[str, Any]) -> PreflightLimits:
    for name in changes:
        if name not in limits.names:
            raise ConfigurationError(
                f"found option {name!r}; {did_you_mean(name, [*_DEFAULTS, *limits.names])}"
            )
    return limits.changed(**changes)


def _judge(name: str, item: Callable[[LaunchContext], Check], launch: LaunchContext) -> Check:
    try:
        return item(launch)
    except NotFittedError:
        raise
    except RecokitError as error:
        return Check(name, "fail", f"could not be checked: {error}", hint="mend this first")


def _sample(train: Dataset, n_users: int) -> list[Any]:
    """Return ids of users with events, spread evenly over their codes: the same ones each time."""
    active = np.unique(train.interactions.user[train.interactions.user > 0])
    if not len(active):
        raise DataError("found no users in train; expected what the pipeline learned from")
    chosen = active[np.unique(np.linspace(0, len(active) - 1, min(n_users, len(active))).astype(np.int64))]
    return list(train.user_ids.decode(chosen))
