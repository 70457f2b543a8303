"""The launch checklist: a healthy pipeline fails nowhere, and each planted violation fails its own item only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Requests, Retrieved
from recokit.data.sampling import UniformNegatives
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.preflight import CHECKLIST, PreflightLimits, PreflightReport

#: Never checked: only live traffic tells.
LIVE_ONLY = {"serving.outcomes"}


@dataclass(frozen=True)
class World:
    """A small marketplace with a pipeline, and what the checklist is told of them."""

    pipeline: rk.Pipeline
    train: rk.Dataset
    test: rk.Dataset
    baseline: rk.Pipeline
    options: dict[str, Any]

    def check(self, **changes: Any) -> PreflightReport:
        given = {"pipeline": self.pipeline, "train": self.train, "test": self.test, "baseline": self.baseline}
        return rk.preflight(**{**given, **self.options, **changes})


@pytest.fixture(scope="module")
def world() -> World:
    market = rk.datasets.make_marketplace(n_users=400, n_items=200, seed=1)
    train, test = market.dataset.split_at("2025-03-20", horizon="7D")
    stock = market.stock_at(train.until)
    blocked = np.zeros(train.n_items + 1)
    blocked[1::20] = 1
    pipeline = rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=100),
            rules.InStock(stock),
            rules.NotOwned(except_for="consumable"),
            rules.Blocked(train.item_ids.decode(np.flatnonzero(blocked)).tolist()),
            features.Standard(),
            rankers.LogisticRegression(),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            diversity.MMR(0.9),
            rules.Disclose("sponsored"),
        ],
        fallback=candidates.Popular(half_life=None),
    ).fit(train, label_window="7D")
    profile = rk.monitoring.ReferenceProfile.of(pipeline.training_data(train, label_window="7D").data)
    baseline = pipeline.replace("logistic_regression", Reversed())
    options = {
        "profile": profile,
        "negatives": UniformNegatives().fit(train),
        "in_stock": stock,
        "blocked": blocked,
        "n_users": 60,
        "n_requests": 3,
        "budget_ms": 600,
        "slower": 5,
        "segment_users": 2,
    }
    return World(pipeline, train, test, baseline, options)


class Reversed:
    """A ranker that puts the least likely first."""

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return -np.nan_to_num(candidates.features.sum(axis=1)).astype(np.float32)


def statuses(report: PreflightReport) -> dict[str, str]:
    return {check.name: check.status for check in report}


def test_a_healthy_pipeline_fails_nowhere_and_says_what_it_cannot_know(world: World) -> None:
    report = world.check()
    assert not [str(check) for check in report if check.status == "fail"]
    assert {check.name for check in report.unchecked} == LIVE_ONLY
    assert report.names == tuple(CHECKLIST)


class Broken:
    """A source that always fails."""

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        raise RuntimeError("no connection")


class Slow:
    """A filter that keeps everything, late."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        time.sleep(self.seconds)
        return np.ones(len(candidates), np.bool_)


class Favourites:
    """A ranker that has the same order for everybody."""

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return -candidates.item.astype(np.float32)


class NotForCasual:
    """A ranker that is upside down for some users."""

    def __init__(self, ranker: Any, users: np.ndarray) -> None:
        self.ranker, self.users = ranker, users

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        score = self.ranker.score(candidates)
        return np.where(np.isin(candidates.requests.user[candidates.row], self.users), -score, score)


class Whim:
    """A filter that lets few items pass, others for each user."""

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        user = candidates.requests.user[candidates.row]
        return (user * 7919 + candidates.item * 104_729) % 1_000 < 300


class KnownOnly:
    """A source that answers users whom the model knows."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        found = self.source.retrieve(requests, limit)
        known = requests.user[np.repeat(np.arange(len(requests)), np.diff(found.offsets))] > 0
        counts = np.where(requests.user > 0, np.diff(found.offsets), 0)
        return Retrieved(np.concatenate([[0], np.cumsum(counts)]), found.item[known], found.score[known])


def weights(dataset: rk.Dataset, factor: np.ndarray) -> rk.Dataset:
    log = dataset.interactions
    return dataset.with_interactions(
        log.replace(weight=factor[log.event].astype(np.float32)), cut=dataset.cut
    )


def stormed(dataset: rk.Dataset) -> rk.Dataset:
    """Every tenth view came twice."""
    log = dataset.interactions
    views = np.flatnonzero(log.event == log.event_names.index("view"))[::10]
    index = np.sort(np.concatenate([np.arange(len(log)), views]))
    return dataset.with_interactions(log.take(index), cut=dataset.cut)


def positives(train: rk.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return train.interactions.user[:500], train.interactions.item[:500]


def shifted(profile: Any) -> Any:
    """Return the profile of a model that was trained on prices in cents."""
    numbers = dict(profile.numbers)
    name = next(name for name in numbers if "price" in name)
    one = numbers[name]
    numbers[name] = replace(one, mean=one.mean * 100, std=one.std)
    return replace(profile, numbers=numbers)


def upside_down_segment(world: World) -> dict[str, Any]:
    users = np.unique(world.test.interactions.user)
    hit = users[::4]
    labels = np.array(["others"] * (world.train.n_users + 1), object)
    labels[hit] = "hit"
    pipeline = world.pipeline.replace(
        "logistic_regression", NotForCasual(world.pipeline["logistic_regression"], hit)
    )
    baseline = world.pipeline.replace(
        "logistic_regression",
        NotForCasual(world.pipeline["logistic_regression"], np.setdiff1d(users, hit)),
    )
    return {"pipeline": pipeline, "baseline": baseline, "by": labels}


def known_only(world: World) -> dict[str, Any]:
    pipeline = world.pipeline
    for name in ("merge.item_knn", "merge.history", "merge.popular", "fallback.popular"):
        pipeline = pipeline.replace(name, KnownOnly(pipeline[name]))
    return {"pipeline": pipeline}


Plant = Callable[[World], dict[str, Any]]

PLANTS: dict[str, Plant] = {
    "data.valid": lambda w: {"now": w.train.until + 3 * 86_400, "profile": None},
    "data.drift": lambda w: {"profile": shifted(w.options["profile"])},
    "data.duplicates": lambda w: {"train": stormed(w.train)},
    "data.negatives": lambda w: {"negatives": positives(w.train)},
    "data.events": lambda w: {"train": weights(w.train, np.array([1.0, 0.5, 0.2, 0.1]))},
    "data.amount": lambda w: {"interactions": 10_000_000},
    "quality.baseline": lambda w: {"pipeline": w.baseline, "baseline": w.pipeline},
    "quality.segments": upside_down_segment,
    "serving.latency": lambda w: {
        "pipeline": w.pipeline.replace("in_stock", Slow(0.65)),
        "in_stock": None,
        "test": None,
        "baseline": None,
        "n_requests": 1,
    },
    # A second more, twice the baseline's: a baseline that a busy machine holds up for half of it changes nothing.
    "serving.slower": lambda w: {
        "pipeline": w.pipeline.replace("in_stock", Slow(1.0)),
        "in_stock": None,
        "slower": 2,
        "budget_ms": 60_000,
        "n_requests": 1,
    },
    "serving.fallback": lambda w: {"pipeline": w.pipeline.without("fallback.popular")},
    "rules.stock": lambda w: {"pipeline": w.pipeline.without("in_stock")},
    "rules.owned": lambda w: {"pipeline": w.pipeline.without("not_owned")},
    "rules.policy": lambda w: {"pipeline": w.pipeline.without("blocked")},
    "rules.categories": lambda w: {"pipeline": w.pipeline.without("max_share")},
    "rules.disclosure": lambda w: {"sponsored": np.ones(w.train.n_items + 1)},
    "rules.sellers": lambda w: {"pipeline": w.pipeline.without("max_per_group")},
    "rules.removals": lambda w: {
        "pipeline": w.pipeline.replace("blocked", Whim()),
        "blocked": None,
        "fail_removed": 0.6,
        "profile": None,
        "baseline": None,
    },
    "quality.catalogue": lambda w: {
        "pipeline": w.pipeline.replace("logistic_regression", Favourites()).without("mmr", "not_owned"),
        "consumable": np.ones(w.train.n_items + 1),
        "baseline": None,
    },
    "serving.errors": lambda w: {
        "pipeline": w.pipeline.replace("merge.item_knn", Broken()),
        "profile": None,
        "baseline": None,
    },
    "quality.cold_start": known_only,
}


def test_every_item_that_can_be_checked_has_a_planted_violation() -> None:
    assert set(PLANTS) == set(CHECKLIST) - LIVE_ONLY


@pytest.mark.parametrize("item", PLANTS)
def test_a_planted_violation_fails_its_own_item_only(world: World, item: str) -> None:
    report = world.check(**PLANTS[item](world))
    assert [str(check) for check in report if check.status == "fail" and check.name != item] == []
    assert report[item].status == "fail", str(report[item])
    assert report[item].hint
    assert report.exit_code() == 1
    with pytest.raises(DataError, match=item):
        report.raise_for_status()


def test_what_few_users_cannot_tell_is_no_pass(world: World) -> None:
    few = world.check(segment_users=10_000)
    assert few["quality.segments"].status == "not checked"
    assert "10,000 users" in few["quality.segments"].message
    alike = world.check(baseline=world.pipeline.without("mmr"), margin=0.0)
    assert alike["quality.baseline"].status == "warn"
    assert alike["quality.baseline"].hint.startswith("more test users")


def test_without_what_it_needs_an_item_is_not_checked_and_no_pass(world: World) -> None:
    bare = rk.preflight(world.pipeline, world.train, n_users=20, n_requests=1, budget_ms=400)
    needs = {
        "data.drift",
        "data.negatives",
        "quality.baseline",
        "quality.segments",
        "serving.slower",
        "rules.policy",
    }
    assert needs | LIVE_ONLY <= {check.name for check in bare.unchecked}
    assert not bare.ready
    named = [check.name for check in bare.unchecked]
    assert (
        bare.exit_code(),
        bare.exit_code(allow_unchecked=named),
        bare.exit_code(allow_unchecked=True),
    ) == (1, 0, 0)
    assert bare.exit_code(allow_unchecked=named[1:]) == 1
    assert bare.exit_code(strict=True, allow_unchecked=True) == 1
    assert bare.raise_for_status(allow_unchecked=named) is bare
    with pytest.raises(DataError, match="known only from live traffic"):
        bare.raise_for_status(allow_unchecked=[name for name in named if name not in LIVE_ONLY])
    with pytest.raises(ConfigurationError, match=r"did you mean 'rules\.stock'"):
        bare.exit_code(allow_unchecked=["rules.stok"])


def test_the_report_is_text_json_markdown_and_a_page(world: World, tmp_path: Path) -> None:
    report = rk.preflight(world.pipeline, world.train, n_users=20, n_requests=1)
    for name in ("report.json", "report.md", "report.html"):
        report.save(tmp_path / name)
    read = json.loads((tmp_path / "report.json").read_text())
    assert [check["name"] for check in read["checks"]] == list(CHECKLIST)
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "serving.fallback" in page and "http" not in page
    assert "serving.fallback" in str(report) and "serving.fallback" in (tmp_path / "report.md").read_text()
    with pytest.raises(DataError, match=r"report\.pdf"):
        report.save(tmp_path / "report.pdf")


def test_observers_see_nothing_of_it(world: World) -> None:
    seen: list[Any] = []

    class Watch:
        def observe(self, trace: Any) -> None:
            seen.append(trace)

    watched = rk.Pipeline([candidates.Popular()], observers=[Watch()]).fit(world.train)
    rk.preflight(watched, world.train, world.test, n_users=5, n_requests=1)
    assert seen == []
    assert len(watched.observers) == 1


def test_bad_options_are_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'budget_ms'"):
        rk.preflight(world.pipeline, world.train, budget_m=3)
    with pytest.raises(ConfigurationError, match="n_users=0; expected a whole number of at least 1"):
        rk.preflight(world.pipeline, world.train, n_users=0)
    limits = PreflightLimits().changed(max_age="48h", margin=0.1)
    assert (limits.validation.max_age, limits.margin) == ("48h", 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"in_stock": "stok"},
            "in_stock='stok'; expected an item column of train.*; known names: .*category",
        ),
        ({"consumable": "consumabel"}, "consumable='consumabel'.*did you mean 'consumable'"),
        ({"category": "brand"}, "category='brand'; expected an item column of train"),
        ({"seller": "selller"}, "seller='selller'.*did you mean 'seller'"),
        ({"sponsored": "sponsord"}, "sponsored='sponsord'.*did you mean 'sponsored'"),
        ({"blocked": "blocked"}, "blocked='blocked'; expected an item column of train"),
        ({"in_stock": np.ones(3)}, r"in_stock of shape \(3,\); expected values by item code, shape \(201,\)"),
        ({"blocked": np.array(["item-1"])}, r"blocked of shape \(1,\);.* or a list of item ids"),
        ({"blocked": [0] * 201}, "expected item ids, which are fewer; hint: np.asarray"),
        ({"stock": None}, "found option 'stock'; did you mean 'in_stock'"),
        ({"zzz": 1}, "found option 'zzz'; known names: .*blocked, "),
    ],
)
def test_a_column_or_option_that_nobody_knows_switches_no_check_off(
    world: World, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        rk.preflight(world.pipeline, world.train, **options)


def test_a_default_column_that_the_table_lacks_is_only_not_checked() -> None:
    train = rk.Dataset.from_frame({"user": ["ann"], "item": ["fig"], "timestamp": [1.0]})
    report = rk.preflight(rk.Pipeline([candidates.Popular()]).fit(train), train, n_requests=1)
    assert {report[f"rules.{name}"].status for name in ("stock", "categories", "sellers", "disclosure")} == {
        "not checked"
    }


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_forbidden_items_may_be_ids(world: World, kind: Callable[[list[str]], Any]) -> None:
    shown = world.pipeline.recommend(["nobody"], k=1, now=world.train.until).ids(0)[0]
    options = {"n_users": 20, "n_requests": 1}
    bad = rk.preflight(world.pipeline, world.train, blocked=kind([shown, "never-heard-of"]), **options)
    assert bad["rules.policy"].status == "fail"
    assert bad["rules.policy"].evidence["items"] == [shown]
    values = world.options["blocked"]
    ids = kind(world.train.item_ids.decode(np.flatnonzero(values)).tolist())
    assert rk.preflight(world.pipeline, world.train, blocked=ids, **options)["rules.policy"].status == "pass"


def test_a_pipeline_before_fit_is_an_error_and_no_report(world: World) -> None:
    unfitted = rk.Pipeline([candidates.Popular()])
    for subject in (unfitted, unfitted.non_profiling()):
        with pytest.raises(NotFittedError, match=r"pipeline\.fit\(dataset\)"):
            rk.preflight(subject, world.train)
    with pytest.raises(NotFittedError, match="before fit"):
        rk.preflight(world.pipeline, world.train, baseline=unfitted, n_users=5, n_requests=1)


def test_a_frame_is_no_dataset(world: World) -> None:
    frame = pd.DataFrame({"user_id": ["a"], "item_id": [1], "timestamp": [1.0]})
    with pytest.raises(DataError, match=r"found DataFrame for train;.*Dataset\.from_frame"):
        rk.preflight(world.pipeline, frame)
    with pytest.raises(DataError, match=r"found DataFrame for test;.*Dataset\.from_frame"):
        rk.preflight(world.pipeline, world.train, frame)


@pytest.mark.parametrize("other", ["pipeline", 3, candidates.Popular])
def test_what_recommends_nothing_is_refused(other: Any) -> None:
    data = rk.testing.toy_dataset()
    pipeline = rk.Pipeline([candidates.Popular()]).fit(data)
    for call in (lambda: rk.preflight(other, data), lambda: rk.preflight(pipeline, data, baseline=other)):
        with pytest.raises(ConfigurationError, match="expected a fitted pipeline"):
            call()
