"""Skew: a feature that serving computed otherwise is found and named, a clean replay is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import DAY, Dataset, LiveEvents, UserHistory
from recokit.datasets import make_marketplace
from recokit.errors import ConfigurationError, DataError
from recokit.monitoring import FeatureLog, LoggedRequests, skew

USERS = [f"user-{i}" for i in range(1, 20)]
EVERYBODY = (*USERS, None, "nobody")


class WantsRanked:
    wants_ranked = True

    def observe(self, trace: rk.Trace) -> None: ...


@pytest.fixture(scope="module")
def toy() -> Dataset:
    return rk.testing.toy_dataset(n_events=900)


@pytest.fixture(scope="module")
def cut(toy: Dataset) -> float:
    return toy.until - 10 * DAY


def pipeline(data: Dataset, *, block: Any = None, tail: LiveEvents | None = None) -> rk.Pipeline:
    """Return a fitted pipeline with sources, a history, features and a ranker that needs no labels."""
    stages = [
        UserHistory(live_events=tail),
        candidates.Merge([candidates.Popular(), candidates.ItemKNN(), candidates.History()], limit=25),
        features.Standard(live_events=tail) if block is None else block,
        rankers.Weighted({"popular_score": 1.0, "item_knn_score": 0.5}),
    ]
    return rk.Pipeline(stages, observers=[WantsRanked()]).fit(data)


def serve(
    served: rk.Pipeline, path: Path, now: Sequence[float], users: Sequence[Any] = EVERYBODY, **options: Any
) -> LoggedRequests:
    """Serve all users at each of some times, and return the log."""
    with FeatureLog(path, unserved=None) as log:
        for when in now:
            log.observe(served.recommend(list(users), k=5, now=when, **options).trace)
    return FeatureLog.load(path)


def test_a_clean_replay_finds_nothing(toy: Dataset, cut: float, tmp_path: Path) -> None:
    model = pipeline(toy.before(cut))
    logged = serve(model, tmp_path / "a", [cut], session=[[101, 105]] * 21, context={"slot": "top"})
    report = skew(logged, model, toy)
    assert not report.findings and not report.unchecked, str(report)
    report.assert_ok(strict=True)
    assert report.rows == len(logged.item) and len(report.figures) == len(logged.feature_names) > 40
    assert all(
        figures["equal"] == 1.0 and figures["rows"] == report.rows for figures in report.figures.values()
    )
    assert skew(tmp_path / "a", model, toy).to_dict() == report.to_dict()


def test_without_the_session_the_replay_would_differ(toy: Dataset, cut: float, tmp_path: Path) -> None:
    model = pipeline(toy.before(cut))
    logged = serve(model, tmp_path, [cut], session=[[101, 105]] * 21)
    for given in logged.given.tolist():
        del given["lists"]["session"]
    assert "history_score" in skew(logged, model, toy).features


def test_events_that_served_features_lacked(toy: Dataset, cut: float, tmp_path: Path) -> None:
    later = cut + np.array([1.0, 3.0, 7.0]) * DAY
    stale = pipeline(toy.before(cut))
    report = skew(serve(stale, tmp_path / "stale", later.tolist()), stale, toy)
    assert report["skew.values"].status == "fail"
    assert {"item", "user", "category"} <= {name.partition("_")[0] for name in report.features}
    assert "item_count_7d" in report.features and "item_price" not in report.features
    assert "live_events" in report["skew.values"].hint
    known = skew(serve(stale, tmp_path / "known", later.tolist()), stale, toy.before(cut))
    assert not known.findings, str(known)


def test_a_tail_keeps_serving_and_training_alike(toy: Dataset, cut: float, tmp_path: Path) -> None:
    tail = LiveEvents()
    model = pipeline(toy.before(cut), tail=tail)
    log, new = toy.interactions, toy.interactions.timestamp >= cut
    for day in range(1, 10, 4):
        now = cut + day * DAY
        came = new & (log.timestamp < now)
        tail.append(
            {
                "user_id": toy.user_ids.decode(log.user[came]),
                "item_id": toy.item_ids.decode(log.item[came]),
                "timestamp": log.timestamp[came],
                "event": np.array(log.event_names, object)[log.event[came]],
                "value": log.value[came],
                "session_id": log.session[came] - 1,  # type: ignore[index]  # external ids count from 0
            },
            now=now,
        )
        report = skew(serve(model, tmp_path / str(day), [now]), model, toy, tolerance=1e-5)
        assert not report.findings, str(report)


def test_a_rebuilt_dataset_has_other_codes_and_the_same_features(
    toy: Dataset, cut: float, tmp_path: Path
) -> None:
    old = toy.before(cut)
    model = pipeline(old)
    logged = serve(model, tmp_path, [cut])
    log = toy.interactions
    frame = {
        "user_id": [*toy.user_ids.decode(log.user), "a-new-user"],
        "item_id": [*toy.item_ids.decode(log.item), 1],
        "timestamp": [*log.timestamp, cut + 5.0],
        "event": [*(log.event_names[code] for code in log.event), "view"],
        "value": [*log.value, np.nan],
        "session_id": [*log.session, -1],  # type: ignore[misc]
    }
    users = {"user_id": ["a-new-user", *toy.user_ids.ids], "age": [1.0, *toy.users.column("age")[1:]]}
    items: dict[str, Any] = {
        "item_id": [1, *toy.item_ids.ids],
        "price": [9.0, *toy.items.column("price")[1:]],
    }
    for name, column in toy.items.categorical.items():
        items[name] = ["a new label", *column.labels.decode(column.codes[1:])]
    rebuilt = Dataset.from_frame(frame, users=users, items=items, now=toy.until + DAY)
    assert rebuilt.item_ids.ids[0] != toy.item_ids.ids[0]
    report = skew(logged, model, rebuilt)
    assert not report.findings, str(report)


# -- planted skew ----------------------------------------------------------------------------------------------------


def with_prices(data: Dataset, change: Any) -> Dataset:
    numeric = data.items.numeric.copy()
    column = data.items.numeric_names.index("price")
    numeric[:, column] = change(numeric[:, column])
    return replace(data, items=replace(data.items, numeric=numeric))


def small(data: Dataset, *extra: Any) -> rk.Pipeline:
    blocks = [features.ItemActivity(windows=("7D",)), features.UserItem(windows=()), features.Item("price")]
    return rk.Pipeline([candidates.Popular(), *blocks, *extra], observers=[WantsRanked()]).fit(data)


def test_another_unit(toy: Dataset, cut: float, tmp_path: Path) -> None:
    model = small(with_prices(toy.before(cut), lambda price: price * 100))
    report = skew(serve(model, tmp_path, [cut]), model, toy)
    assert report.features == ("item_price",)
    found = report["skew.values"]
    assert found.status == "fail" and "100 times" in found.message and "unit" in found.message
    assert found.evidence["equal"] < 0.01 and len(found.rows)
    with pytest.raises(DataError, match="item_price differs"):
        report.assert_ok()


def test_a_stale_table(toy: Dataset, cut: float, tmp_path: Path) -> None:
    def raised(price: Any) -> Any:
        price = price.copy()
        price[1::7] *= np.linspace(1.1, 1.5, len(price[1::7]))
        return price

    model = small(toy.before(cut))
    logged = serve(model, tmp_path, [cut])
    report = skew(logged, model, with_prices(toy, raised))
    assert report.features == ("item_price",)
    found = report["skew.values"]
    assert "older table" in found.hint and "unit" not in found.message
    changed = toy.item_ids.encode(logged.item) % 7 == 1
    np.testing.assert_array_equal(found.rows, np.flatnonzero(changed))
    old, new = (with_prices(toy, change).items.column("price") for change in (lambda p: p, raised))
    gap = np.abs(new - old)[toy.item_ids.encode(logged.item)]
    assert report.figures["item_price"]["largest"] == pytest.approx(gap.max(), rel=1e-5)
    assert report.figures["item_price"]["equal"] == pytest.approx(1 - changed.mean())


class PopularityEver:
    """Counts all events that its data has, those after the request too, and claims otherwise."""

    as_of = True
    names = ("popularity",)

    def fit(self, dataset: Dataset) -> PopularityEver:
        self.count_ = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1)
        return self

    def featurize(self, batch: rk.Candidates) -> Any:
        return self.count_[batch.item, None].astype(np.float32)


def test_a_feature_that_peeked_at_the_future(toy: Dataset, cut: float, tmp_path: Path) -> None:
    model = small(toy.before(cut), PopularityEver())
    report = skew(serve(model, tmp_path, [cut]), model, toy)
    assert report.features == ("popularity",) and report["skew.values"].status == "fail"
    # The other way round: what was logged in a backtest knows the future, what is computed again does not.
    model = small(toy, PopularityEver())
    report = skew(serve(model, tmp_path / "backtest", [cut]), model, toy.before(cut))
    assert report.features == ("popularity",)


def test_values_missing_on_one_side(toy: Dataset, cut: float, tmp_path: Path) -> None:
    def lost(price: Any) -> Any:
        return np.where(np.arange(len(price)) % 3 == 0, np.nan, price)

    model = small(with_prices(toy.before(cut), lost))
    report = skew(serve(model, tmp_path, [cut]), model, toy)
    assert report.features == ("item_price",) and report["skew.values"].status == "pass"
    found = report["skew.missing"]
    assert found.status == "fail" and found.evidence["missing_served"] == pytest.approx(1 / 3, abs=0.1)
    assert found.evidence["missing_now"] == 0.0
    other = small(toy.before(cut))
    report = skew(serve(other, tmp_path / "b", [cut]), other, with_prices(toy, lost))
    assert report["skew.missing"].evidence["missing_now"] > 0.2


def test_features_that_one_side_lacks(toy: Dataset, cut: float, tmp_path: Path) -> None:
    more, less = small(toy.before(cut), PopularityEver()), small(toy.before(cut))
    report = skew(serve(more, tmp_path / "a", [cut]), less, toy)
    assert (report["skew.columns"].status, report["skew.columns"].subject) == ("fail", "popularity")
    assert report["skew.models"].status == "not checked"
    report = skew(serve(less, tmp_path / "b", [cut]), more, toy)
    assert (report["skew.columns"].status, report["skew.columns"].subject) == ("warn", "popularity")


# -- what may not be compared ----------------------------------------------------------------------------------------


def test_another_models_sources_are_not_blamed(toy: Dataset, cut: float, tmp_path: Path) -> None:
    # Standard may choose other features for other data.
    block = features.Assemble([features.ItemActivity(windows=("7D",)), features.SourceScores()])
    old, new = (pipeline(toy.before(until), block=block) for until in (cut - 20 * DAY, cut))
    logged = serve(old, tmp_path, [cut - 20 * DAY])
    report = skew(logged, new, toy)
    assert not report.findings, str(report)
    assert report["skew.models"].status == "not checked" and "another model" in report["skew.models"].message
    assert report.figures["popular_score"]["rows"] == 0 < report.figures["item_count_7d"]["rows"]
    assert skew(logged, old, toy).figures["popular_score"]["rows"] > 0


def test_candidates_that_are_gone_are_counted(toy: Dataset, cut: float, tmp_path: Path) -> None:
    stock = np.ones(toy.n_items + 1, np.bool_)
    full = small(toy.before(cut), rules.InStock(stock))
    logged = serve(full, tmp_path, [cut])
    stock = stock.copy()
    stock[1 : toy.n_items * 2 // 3] = False
    report = skew(logged, full.replace("in_stock", rules.InStock(stock)), toy)
    assert report["skew.candidates"].status == "warn" and 0 < report.rows < len(logged.item) / 2
    nothing = full.replace("in_stock", rules.InStock(stock & False))
    assert skew(logged, nothing, toy)["skew.values"].status == "not checked"


def test_a_large_log_is_sampled(toy: Dataset, cut: float, tmp_path: Path) -> None:
    model = small(toy.before(cut))
    logged = serve(model, tmp_path, [cut])
    report = skew(logged, model, toy, max_requests=7)
    assert "7 requests, sampled of 21" in report.title and report.rows < len(logged.item)
    with pytest.raises(DataError, match="no requests"):
        skew(logged.take(np.zeros(0, np.int64)), model, toy)
    for message, options in {
        "tolerance=-1": {"tolerance": -1},
        "tolerance=1": {"tolerance": 1},
        "warn=2": {"warn": 2, "fail": 3},
        "fail=1.1": {"fail": 1.1},
        "fail=0.1; expected at least 0.5": {"warn": 0.5, "fail": 0.1},
        "max_requests=0": {"max_requests": 0},
    }.items():
        with pytest.raises(ConfigurationError, match=message):
            skew(logged, model, toy, **options)


def test_the_report_is_readable(toy: Dataset, cut: float, tmp_path: Path) -> None:
    model = small(with_prices(toy.before(cut), lambda price: price * 100))
    report = skew(serve(model, tmp_path, [cut]), model, toy)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["figures"]["item_price"]["equal"] < 0.01
    text = report.to_markdown()
    assert text.splitlines()[0].endswith(": fail**") and text.splitlines()[4].startswith(
        "| fail | skew.values | item_price |"
    )
    assert "item_price" in report._repr_html_() and "FAIL" in str(report)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_clean_replays_of_a_marketplace(seed: int, tmp_path: Path) -> None:
    data = make_marketplace(300, 150, days=60, seed=seed).dataset
    cut = data.until - 7 * DAY
    stages = [
        candidates.Merge([candidates.Popular(half_life="14D"), candidates.ItemKNN()], limit=60),
        features.Standard(),
        rankers.LogisticRegression(),
    ]
    log = FeatureLog(tmp_path, unserved=20)
    model = rk.Pipeline(stages, observers=[log]).fit(data.before(cut), label_window="7D")
    model.recommend(data.user_ids.ids[:200], k=10, now=cut)
    log.close()
    report = skew(log, model, data)
    assert not report.findings and not report.unchecked, str(report)
