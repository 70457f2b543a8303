"""Golden questions: what they find, and what they let pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.errors import ConfigurationError, DataError, GateRejected
from recokit.serving import Golden, GoldenReport


class Scaled:
    """Scores that are the items' codes, times a factor and plus a shift."""

    def __init__(self, factor=1.0, shift=0.0):
        self.factor, self.shift = factor, shift

    def score(self, candidates):
        return (self.factor * candidates.item + self.shift).astype(np.float32)


@pytest.fixture(scope="module")
def data():
    return rk.testing.toy_dataset()


def stages(**changed):
    parts = {
        "source": candidates.Popular(half_life="30D"),
        "owned": rules.NotOwned(),
        "cheap": rules.Where("item.price < 50"),
        "ranker": Scaled(),
        "sellers": rules.MaxPerGroup("seller", 4, hard=True),
        "categories": rk.Step(rules.MaxPerGroup("category", 3), name="categories"),
        "labels": rules.Disclose("sponsored"),
    }
    return [stage for stage in (parts | changed).values() if stage is not None]


@pytest.fixture(scope="module")
def pipeline(data):
    return rk.Pipeline(stages()).fit(data)


@pytest.fixture(scope="module")
def golden(pipeline):
    return Golden.of(pipeline, users=20)


def test_the_same_model_passes(golden, pipeline):
    report = golden.check(pipeline)
    assert report.passed and report.overlap == 1.0 and report.drift == 0.0 and report.broken == ()
    assert report.raise_for_status() is report
    assert report.to_dict()["passed"] is True and "passed on 21 golden questions" in str(report)


def test_questions_are_users_by_the_seed_and_nobody(pipeline, data):
    known = set(data.user_ids.ids.tolist())
    few = Golden.of(pipeline, users=5, seed=3)
    assert few.users == Golden.of(pipeline, users=5, seed=3).users != Golden.of(pipeline, users=5).users
    assert len(few.users) == 6 and few.users[-1] is None and set(few.users[:-1]) <= known
    assert Golden.of(pipeline).users == [*data.user_ids.ids.tolist(), None]  # no more than there are
    assert Golden.of(pipeline, users=["user-3"]).users == ["user-3"]
    assert few.now == pipeline.fitted_until >= data.until and few.k == 10
    assert Golden.of(pipeline, users=2, now=data.until - 5.0).now == data.until - 5.0


def test_observers_do_not_see_the_questions(data):
    class Seen:
        n = 0

        def observe(self, trace):
            self.n += 1

    seen = Seen()
    pipeline = rk.Pipeline([candidates.Popular()], observers=[seen]).fit(data)
    Golden.of(pipeline, users=3).check(pipeline)
    assert seen.n == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"owned": None}, "hard rule not_owned is gone"),
        ({"cheap": None}, "hard rule where is gone"),
        ({"cheap": rules.Where("item.price < 60")}, "hard rule where was"),
        ({"sellers": rules.MaxPerGroup("seller", 5, hard=True)}, "hard rule max_per_group was"),
        ({"labels": None}, "hard rule disclose is gone"),
    ],
    ids=["filter-gone", "other-gone", "filter-changed", "cap-changed", "label-gone"],
)
def test_hard_rules_that_are_gone_or_changed_are_found(data, golden, changed, told):
    report = golden.check(rk.Pipeline(stages(**changed)).fit(data))
    assert any(reason.startswith(told) for reason in report.reasons), report.reasons


def test_soft_limits_are_free_to_change(data, golden):
    changed = rk.Pipeline(stages(categories=None)).fit(data)
    assert golden.check(changed).broken == ()


def test_what_a_rule_took_is_shown_to_nobody(data, golden, pipeline):
    owned = rk.Pipeline(stages(owned=rules.NotOwned(window="1s"))).fit(data)
    broken = golden.check(owned).broken
    quoted = [one for one in broken if "which not_owned takes out" in one]
    assert len(quoted) == 5 and "more like these" in broken[-1]
    # Independently: what the log says was bought is what is quoted.
    log = data.interactions
    bought = {
        (data.user_ids.decode([u])[0], int(data.item_ids.decode([i])[0]))
        for u, i in zip(log.of("purchase").user, log.of("purchase").item, strict=True)
    }
    for one in quoted:
        user, item = one.split("'")[1], int(one.split("shown ")[1].split(",")[0])
        assert (user, item) in bought


def test_rules_on_item_columns_are_held_by_their_options_alone(golden):
    assert {rule for row in golden.taken for rule, _ in row} == {"not_owned"}


def test_an_item_that_is_never_to_be_shown_is_found(golden, pipeline):
    shown = golden.lists[0][0]
    report = replace(golden, never=[shown]).check(pipeline)
    assert f"{shown}, which is never to be shown" in report.broken[0]
    assert replace(golden, never=[-1]).check(pipeline).passed


def test_lists_that_are_gone_are_found(data, golden):
    report = golden.check(rk.Pipeline(stages(cheap=rules.Where("item.price < 0"))).fit(data))
    assert any("has an empty or failed list" in one for one in report.broken)


def report_of(**figures):
    plain = {"n": 1, "overlap": 1.0, "drift": 0.0, "broken": (), "min_overlap": 0.5, "max_drift": 0.5}
    return GoldenReport(**{**plain, **figures})


@pytest.mark.parametrize(
    ("figures", "passed"),
    [
        ({"overlap": 0.5}, True),
        ({"overlap": 0.4999}, False),
        ({"drift": 0.5}, True),
        ({"drift": 0.5001}, False),
        ({"drift": float("nan")}, True),
        ({"broken": ("x",)}, False),
    ],
    ids=["overlap-at", "overlap-below", "drift-at", "drift-above", "no-scores", "broken"],
)
def test_a_tolerance_itself_is_allowed(figures, passed):
    report = report_of(**figures)
    assert report.passed is passed
    if not passed:
        with pytest.raises(GateRejected, match="found a model that answers 1 golden questions otherwise"):
            report.raise_for_status()


def test_overlap_is_the_mean_share_of_golden_items(golden, pipeline):
    half = [
        [*items[: len(items) // 2], *range(-1, -1 - len(items) + len(items) // 2, -1)]
        for items in golden.lists
    ]
    expected = np.mean([(len(items) // 2) / len(items) for items in golden.lists if items])
    assert replace(golden, lists=half).check(pipeline).overlap == pytest.approx(expected)


def test_drift_is_the_median_change_as_a_share_of_the_spread(data, golden):
    moved = rk.Pipeline(stages(ranker=Scaled(shift=3.0))).fit(data)
    known = np.concatenate([scores[np.isfinite(scores)] for scores in golden.scores])
    spread = np.percentile(known, 75) - np.percentile(known, 25)
    report = golden.check(moved)
    assert report.overlap == 1.0 and report.drift == pytest.approx(3.0 / spread)
    assert replace(golden, max_drift=3.1 / spread).check(moved).passed
    assert not replace(golden, max_drift=2.9 / spread).check(moved).passed


def test_scores_that_are_gone_moved_farthest(golden, pipeline, data):
    assert golden.check(rk.Pipeline(stages(ranker=Scaled(float("nan")))).fit(data)).drift == np.inf
    flat = replace(golden, scores=[np.zeros_like(scores) for scores in golden.scores])
    assert flat.check(pipeline).drift == np.inf


def test_defaults_are_half_of_the_items_and_half_of_the_spread(golden):
    assert (golden.min_overlap, golden.max_drift, golden.k, golden.never) == (0.5, 0.5, 10, [])


def test_questions_are_saved_and_loaded(golden, pipeline, data, tmp_path):
    golden.save(tmp_path / "golden")
    loaded = Golden.load(tmp_path / "golden")
    assert loaded.check(pipeline).to_dict() == golden.check(pipeline).to_dict()
    weaker = rk.Pipeline(stages(owned=None)).fit(data)
    assert loaded.check(weaker).reasons == golden.check(weaker).reasons
    rk.Pipeline([candidates.Popular()]).fit(data).save(tmp_path / "model")
    with pytest.raises(DataError, match="expected golden questions"):
        Golden.load(tmp_path / "model")


@pytest.mark.parametrize(
    "options",
    [{"min_overlap": 1.1}, {"min_overlap": -0.1}, {"max_drift": 0.0}, {"k": 0}, {"users": 0}, {"users": []}],
    ids=lambda one: "-".join(map(str, one.items())),
)
def test_impossible_options_are_refused(pipeline, options):
    with pytest.raises((ConfigurationError, DataError)):
        Golden.of(pipeline, **options)
