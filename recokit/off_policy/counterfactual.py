"""Counterfactual: what a pipeline would have been worth, from the logs of another one, before it is launched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._utils.moved import renamed
from recokit._utils.params import clone
from recokit.debias import ImpressionLog
from recokit.errors import DataError
from recokit.off_policy.estimate import estimate
from recokit.off_policy.estimators import Estimator
from recokit.off_policy.intervals import Interval
from recokit.off_policy.replay import Replay, replay
from recokit.off_policy.report import OffPolicyReport
from recokit.off_policy.rewards import ItemReward, RewardModel
from recokit.off_policy.rounds import LoggedRounds
from recokit.off_policy.support import Support
from recokit.protocols import Runnable
from recokit.typing import IntArray


def counterfactual(
    pipeline: Runnable,
    impressions: ImpressionLog,
    estimators: str | Estimator | Sequence[str | Estimator] | None = None,
    *,
    rewards: RewardModel | None = ItemReward(),  # noqa: B008  (fitted as a copy)
    interval: Interval = "hall",
    confidence: float = 0.95,
    support: Support | None = Support(),  # noqa: B008  (frozen)
    seed: int = 1,
    progress: bool = False,
    **options: Any,
) -> OffPolicyReport:
    """Estimate what a pipeline would have been worth where another one served.

    The pipeline is asked again for each logged list, as of the list's own time, see :func:`replay`. Labels are the
    rewards, so values are clicks (or gains) per list. Intervals take users as independent, not lists.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted on events before the first impression.
    impressions : ImpressionLog
        What was shown in which place, with which propensity, and what came of it.
    estimators : str, Estimator or sequence of these, optional
        As for :func:`estimate`.
    rewards : RewardModel, optional
        For DM and the doubly robust estimators; by default by item and place. None for a log without a model.
    interval, confidence, support
        As for :func:`estimate`.
    seed : int, default 1
        Of stochastic stages, and of the bootstrap. Not the one that the log was made with.
    progress : bool, default False
        Whether to show a progress bar.
    options
        ``reward_range`` and ``resamples``, as for :func:`estimate`.

    Returns
    -------
    OffPolicyReport
        Its notes tell what was left out, and how much of what the pipeline shows was never logged.

    Raises
    ------
    SupportError
        If every estimator is refused.
    ConfigurationError
        If a stage has seen events from after the first impression, or an option is impossible.
    DataError
        If the log has no propensities, or nothing was shown.

    Examples
    --------
    >>> import recokit as rk
    >>> market = rk.datasets.make_marketplace(1000, 40, seed=1, positions=1)
    >>> log = ImpressionLog.of(market.impressions)
    >>> cut = float(np.median(log.timestamp))
    >>> pipeline = rk.Pipeline([rk.candidates.PopularInCategory()]).fit(market.dataset.before(cut))
    >>> found = counterfactual(pipeline, log.take(log.timestamp >= cut), ["SNIPS", "SNDR"])
    >>> found["SNDR"].low < found["SNIPS"].value < found["SNDR"].high
    True
    """
    answers = replay(pipeline, impressions, seed=seed, progress=progress)
    return estimate(
        replayed_rounds(answers, rewards),
        estimators,
        interval=interval,
        confidence=confidence,
        support=support,
        seed=seed,
        notes=_notes(answers),
        **options,
    )


@renamed(found="answers")
def replayed_rounds(answers: Replay, rewards: RewardModel | None = None) -> LoggedRounds:
    """Return the rounds of a replay, for :func:`estimate`, with the predictions of a reward model.

    Raises
    ------
    DataError
        If the log has no propensities.
    """
    log = answers.log
    if log.propensity is None or np.isnan(log.propensity).all():
        raise DataError(
            "found impressions without propensities; expected the probability of each item in its place; hint: "
            "dataclasses.replace(log, propensity=frequency_propensity(log.item, position=log.position)) estimates them"
        )
    predicted = expected = None
    if rewards is not None:
        model = clone(rewards).fit(log)
        predicted = model.predict(log)
        # Where the pipeline's list ends earlier it shows nothing, and nothing comes of it.
        expected = np.where(answers.shown.item > 0, model.predict(answers.shown), 0.0)
    return LoggedRounds(
        reward=log.label.astype(np.float64),
        propensity=log.propensity,
        target=answers.target,
        round=log.group,
        position=log.position,
        predicted=predicted,
        expected=expected,
        marginal_target=answers.drawn,
        cluster=_clusters(log),
    )


def _clusters(log: ImpressionLog) -> IntArray:
    """Return the user of each impression; an unknown one is somebody else in each list."""
    return np.where(log.user > 0, log.user, int(log.user.max(initial=0)) + 1 + log.group - log.group.min())


def _notes(answers: Replay) -> list[str]:
    notes = []
    if answers.unseen > 0:
        notes.append(f"{answers.unseen:.1%} of what the pipeline shows was never shown in the log")
    if answers.not_shown:
        notes.append(f"{answers.not_shown:,} impressions in place 0 left out")
    if answers.unexplained:
        notes.append(f"{answers.unexplained:,} impressions without a probability of the pipeline: drawn once")
    odd = [f"{n:,} {status}" for status, n in answers.statuses.items() if n and status != "OK"]
    if odd:
        notes.append(f"lists of the pipeline that were not OK: {', '.join(odd)}")
    return notes + [f"{name} left out: it depends on today's state" for name in answers.skipped]
