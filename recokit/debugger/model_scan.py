"""Scan of the rankers' models: what makes one order the same candidates in another way than the baseline's.

Both score the candidates of some users, with the features that came to this pipeline's, so that nothing before them
has a say. The cause is told by what the model goes by: whether its scores are its own, how much of it is there, the
order of its features, single features, the popularity of items, or the place in which they were retrieved.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._stats.ranks import rank_correlation
from recokit.data import Candidates
from recokit.data.events.user_history import UserHistory
from recokit.protocols import Explainer
from recokit.trace import Trace
from recokit.typing import AnyArray, FloatArray

#: Scores of one request that an order is judged by, and candidates of each request that are explained.
MIN_SCORES, EXPLAINED = 20, 8
#: Share of the pairs of candidates that may stand the other way round than the model's own sum: rounding.
DISCORDANT = 0.04
#: Cosine of the weights of features, and rank correlation, below which a model is another one. Two of one kind, fitted
#: a week apart, have 0.92 and more, and 0.5 and more.
SAME_WEIGHTS, SAME_ORDER = 0.8, 0.4
#: A correlation below this is an order turned round, and more ties than this a flat one: other checks' findings.
INVERTED, TIED = -0.6, 0.3
#: How much larger a share of the features without any weight must be for a part of the model to be missing.
LOST = 0.25
#: Share of one feature, of two, and times the baseline's, from which on they decide nearly alone.
ALONE, TWO_ALONE, TIMES = 0.3, 0.38, 2.5
#: How far an order goes with the place of retrieval or with popularity, and how much further than the baseline's.
BY_PLACE, MORE_BY_PLACE = 0.8, 0.1
BY_POPULARITY, AGAINST_POPULARITY, MORE_BY_POPULARITY = 0.6, -0.3, 0.35


@dataclass(frozen=True)
class ModelScan:
    """Why a ranker's order is another one; no cause where it is not.

    Parameters
    ----------
    cause : str
        Code, empty for none.
    alike : float
        Mean rank correlation of the scores with those of the baseline's model; NaN without one.
    figures : mapping
        Numbers behind it.
    """

    cause: str = ""
    alike: float = float("nan")
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Models:
    """A ranker and the baseline's, with their scores of the same candidates."""

    mine: Any
    usual: Any
    batch: Candidates
    score: FloatArray
    usual_score: FloatArray
    popularity: FloatArray

    def by_row(self, one: FloatArray, other: FloatArray) -> float:
        """Return the mean rank correlation over the requests."""
        spans = zip(self.batch.offsets[:-1].tolist(), self.batch.offsets[1:].tolist(), strict=True)
        found = [correlation(one[start:stop], other[start:stop]) for start, stop in spans]
        known = [value for value in found if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    @property
    def place(self) -> FloatArray:
        """The place in which each candidate was retrieved, larger is earlier."""
        return (self.batch.offsets[self.batch.row] - np.arange(len(self.batch))).astype(np.float64)


def correlation(one: AnyArray, other: AnyArray) -> float:
    """Return the rank correlation of what both know, NaN where that is too little or all the same."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < MIN_SCORES or np.ptp(one[known]) == 0 or np.ptp(other[known]) == 0:
        return float("nan")
    return float(rank_correlation(one[known], other[known]))


def share_tied(score: FloatArray) -> float:
    """Return the share of the finite scores that another one equals."""
    score = score[np.isfinite(score)]
    _, counts = np.unique(score, return_counts=True)
    return float(counts[counts > 1].sum() / max(len(score), 1))


def scan_models(
    trace: Trace, stages: Mapping[str, Any], usual_stages: Mapping[str, Any]
) -> dict[str, ModelScan]:
    """Scan the first scorer of a captured run beside the baseline's of the same name, if there is one."""
    event = next((event for event in trace.events if event.role == "scorer"), None)
    if event is None or event.before is None or event.after is None or event.error or event.skipped:
        return {}
    mine, usual = stages.get(event.name), usual_stages.get(event.name)
    if mine is None or not len(event.before):
        return {}
    score = event.after.score.astype(np.float64)
    popularity = popularity_of((usual_stages, stages))
    usual_score = np.full(len(score), np.nan) if usual is None else scored(usual, event.before)
    models = _Models(
        mine=mine,
        usual=usual,
        batch=event.before,
        score=score,
        usual_score=usual_score,
        popularity=popularity,
    )
    return {event.name: _scanned(models)}


def _scanned(models: _Models) -> ModelScan:
    alike = models.by_row(models.score, models.usual_score)
    for cause, figures in (_loaded(models), _own_scores(models), _changed(models, alike)):
        if cause:
            return ModelScan(cause, alike, {"rank_correlation": alike, **figures})
    return ModelScan(alike=alike)


_NOTHING: tuple[str, dict[str, Any]] = ("", {})


def _loaded(models: _Models) -> tuple[str, dict[str, Any]]:
    """Return whether trees are missing, by the model's own count."""
    forest = getattr(models.mine, "forest_", None)
    meant = getattr(models.mine, "n_estimators_", 0)
    if forest is None or forest.n_trees >= 0.7 * meant:
        return _NOTHING
    return "RANKER_TRUNCATED", {"there": forest.n_trees, "meant": meant, "what": "trees"}


def _own_scores(models: _Models) -> tuple[str, dict[str, Any]]:
    """Return whether the scores are in another order than what the model's contributions add up to."""
    picked = _picked(models.batch)
    parts = _parts(models.mine, models.batch, picked)
    if parts is None:
        return _NOTHING
    sums, score = sum(parts.values()), models.score[picked]
    if _discordant(np.asarray(sums), score) <= DISCORDANT:
        return _NOTHING
    popular = models.by_row(models.score, _popularity(models))
    usually = models.by_row(models.usual_score, _popularity(models))
    if popular > BY_POPULARITY and not popular <= usually:
        return "RANKER_POPULARITY", {"by_popularity": popular}
    return "SCORES_STALE", {}


def _discordant(one: AnyArray, other: AnyArray) -> float:
    """Return the share of pairs that two columns order differently, of those that both tell apart."""
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < MIN_SCORES:
        return 0.0
    a, b = one[:, None] - one, other[:, None] - other
    apart = (np.abs(a) > 1e-3 * np.ptp(one)) & (np.abs(b) > 1e-5 * np.ptp(other))
    return float(np.mean((a * b < 0)[apart])) if apart.any() else 0.0


def _changed(models: _Models, alike: float) -> tuple[str, dict[str, Any]]:
    """Return what makes the model another one than the baseline's."""
    if models.usual is None:
        return _NOTHING
    picked = _picked(models.batch)
    mine, usual = (_parts(stage, models.batch, picked) for stage in (models.mine, models.usual))
    weights, before = _weights(mine), _weights(usual)
    # A model of the same weights may order the many alike ones in another way, and is the same model.
    other_order = alike < SAME_ORDER and share_tied(models.score) < TIED
    is_same = not other_order and _cosine(weights, before) >= SAME_WEIGHTS
    if is_same or alike < INVERTED:
        return _NOTHING
    reordered = _in_usual_order(models)
    if reordered > max(SAME_ORDER, alike + 0.3):
        return "RANKER_FEATURE_ORDER", {"in_usual_order": reordered}
    if mine is not None and usual is not None:
        lost = _lost(mine, usual)
        if lost is not None:
            return lost
    by_place, usually = (
        models.by_row(models.score, models.place),
        models.by_row(models.usual_score, models.place),
    )
    if by_place > BY_PLACE and by_place > usually + MORE_BY_PLACE:
        return "RANKER_POSITION_BIAS", {"by_place": by_place, "usually_by_place": usually}
    return _popularity_or_leak(models, weights, before)


def _popularity_or_leak(
    models: _Models, weights: Mapping[str, float], before: Mapping[str, float]
) -> tuple[str, dict[str, Any]]:
    popular = models.by_row(models.score, _popularity(models))
    usually = models.by_row(models.usual_score, _popularity(models))
    negatives = "RANKER_NEGATIVES", {"by_popularity": popular, "usually_by_popularity": usually}
    if popular < AGAINST_POPULARITY and popular < usually - MORE_BY_POPULARITY:
        return negatives
    first = sorted(weights, key=lambda name: -weights[name])[:2]
    for names, least in ((first[:1], ALONE), (first, TWO_ALONE)):
        now, then = sum(weights[name] for name in names), sum(before.get(name, 0.0) for name in names)
        if now > least and now > TIMES * then:
            return "RANKER_LEAKED", {"names": " and ".join(names), "share": now, "usually": then}
    if popular > usually + MORE_BY_POPULARITY:
        return negatives
    return "RANKER_OTHER_VERSION", {}


def _in_usual_order(models: _Models) -> float:
    """Return how alike the two are once this one reads its features in the baseline's order."""
    names, own = (getattr(stage, "feature_names_", None) for stage in (models.usual, models.mine))
    if names is None or own is None or tuple(names) == tuple(own) or sorted(names) != sorted(own):
        return float("nan")
    twin = copy.copy(models.mine)
    twin.__dict__.update(feature_names_=tuple(names), bound_names_=None)
    return models.by_row(scored(twin, models.batch), models.usual_score)


def _lost(
    mine: Mapping[str, FloatArray], usual: Mapping[str, FloatArray]
) -> tuple[str, dict[str, Any]] | None:
    """Return whether features have lost all weight, and whether what is left is the baseline's."""
    used = [name for name, part in usual.items() if np.abs(part).max(initial=0.0) > 0]
    there = [name for name in used if np.abs(mine.get(name, np.zeros(1))).max(initial=0.0) > 0]
    if not there or len(there) > (1.0 - LOST) * len(used):
        return None
    # Of each feature, since one of a large weight would speak for all.
    agree = np.mean([_agree(mine[name], usual[name]) for name in there])
    if agree > 0.6:
        return "RANKER_TRUNCATED", {"there": len(there), "meant": len(used), "what": "weights"}
    return "RANKER_OTHER_VERSION", {}


def _agree(one: FloatArray, other: FloatArray) -> bool:
    a, b = float(np.std(one)), float(np.std(other))
    if a == 0 or b == 0:
        return False
    return bool(0.4 < a / b < 2.5 and np.mean((one - one.mean()) * (other - other.mean())) > 0.5 * a * b)


def _picked(batch: Candidates) -> AnyArray:
    """Return which candidates are explained: some of each request, spread over its list."""
    picked = np.zeros(len(batch), np.bool_)
    for start, stop in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True):
        most = EXPLAINED if batch.n_rows > 1 else MIN_SCORES + EXPLAINED
        picked[np.unique(np.linspace(start, stop - 1, min(most, stop - start)).astype(int))] = True
    return picked


def _parts(stage: Any, batch: Candidates, picked: AnyArray) -> dict[str, FloatArray] | None:
    """Return what each feature adds to the scores of some candidates, None where a stage does not explain them."""
    if not isinstance(stage, Explainer):
        return None
    try:
        parts = np.asarray(stage.contributions(batch.compress(picked)), np.float64)
    except Exception:  # the run has recorded what fails, and another version may need other features
        return None
    return dict(zip(stage.feature_names_, np.nan_to_num(parts).T, strict=True))


def _weights(parts: Mapping[str, FloatArray] | None) -> dict[str, float]:
    """Return how much of the differences between candidates each feature makes."""
    spread = {name: float(np.std(part)) for name, part in (parts or {}).items()}
    whole = sum(spread.values()) or 1.0
    return {name: value / whole for name, value in spread.items()}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    names = sorted({*one, *other})
    a, b = (np.array([part.get(name, 0.0) for name in names]) for part in (one, other))
    whole = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / whole if whole > 0 else 1.0


def scored(stage: Any, batch: Candidates) -> FloatArray:
    """Return a stage's scores of a batch, NaN where it fails: it may be of another version."""
    try:
        return np.asarray(stage.score(batch), np.float64)
    except Exception:  # what cannot be scored is not comparable
        return np.full(len(batch), np.nan)


def _popularity(models: _Models) -> FloatArray:
    item = models.batch.item
    known = item < len(models.popularity)
    return np.where(known, models.popularity[np.where(known, item, 0)], 0.0)


def popularity_of(pipelines: tuple[Mapping[str, Any], ...]) -> FloatArray:
    """Return the events of each item code, as the first hydrator of histories knows them."""
    for stages in pipelines:
        for stage in stages.values():
            if isinstance(stage, UserHistory) and hasattr(stage, "history_"):
                return np.bincount(stage.history_.item, minlength=1).astype(np.float64)
    return np.zeros(1)
