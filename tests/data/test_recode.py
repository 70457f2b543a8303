"""Recode: the same data in a model's codes; whom the model does not know has no history."""

from __future__ import annotations

from typing import Any

import numpy as np

import recokit as rk
from recokit.data import Dataset, LiveEvents, Requests, UserHistory
from recokit.data.recode import recoded


def frame(shift: int = 0) -> dict[str, Any]:
    users = ["bob", "ann", "eve", "bob"]
    return {"user_id": users, "item_id": ["fig", "pear", "kiwi", "fig"], "timestamp": np.arange(4.0) + shift}


def test_events_and_tables_keep_their_meaning() -> None:
    old = Dataset.from_frame(
        {"user_id": ["bob", "eve"], "item_id": ["pear", "fig"], "timestamp": [1.0, 2.0]},
        items={"item_id": ["pear", "fig"], "kind": ["sweet", "dry"], "price": [1.0, 2.0]},
    )
    new = Dataset.from_frame(
        frame(5),
        users={"user_id": ["ann", "bob"], "age": [30, 40]},
        items={"item_id": ["fig", "kiwi", "pear"], "kind": ["dry", "sour", "ripe"], "price": [3.0, 4.0, 5.0]},
    )
    same = recoded(new, old.schema)
    assert same.user_ids is old.user_ids and same.item_ids is old.item_ids
    assert old.user_ids.decode(same.interactions.user).tolist() == ["bob", None, "eve", "bob"]
    assert old.item_ids.decode(same.interactions.item).tolist() == ["fig", "pear", None, "fig"]
    assert same.interactions.timestamp.tolist() == new.interactions.timestamp.tolist()
    place = {name: int(old.item_ids.encode([name])[0]) for name in ("fig", "pear")}
    assert [same.items.column("price")[place[name]] for name in ("fig", "pear")] == [3.0, 5.0]
    labels, codes = same.items.labels("kind"), same.items.column("kind")
    assert (
        labels.decode(codes)[place["pear"]] == "ripe"
        and codes[place["fig"]] == old.items.column("kind")[place["fig"]]
    )
    assert np.isnan(same.users.column("age")[old.user_ids.encode(["eve"])]).all()


def test_nobody_gets_the_history_of_users_that_the_model_does_not_know() -> None:
    old = Dataset.from_frame({"user_id": ["bob"], "item_id": ["fig"], "timestamp": [1.0]})
    new = Dataset.from_frame({"user_id": ["ann", "bob"], "item_id": ["fig", "fig"], "timestamp": [2.0, 3.0]})
    requests = Requests.build(np.array([0, 1]), now=9.0)
    history = UserHistory().fit(recoded(new, old.schema)).hydrate(requests).ragged["history"]
    assert history.counts.tolist() == [0, 1]
    tail = LiveEvents()
    fitted = UserHistory(live_events=tail).fit(old)
    tail.append({"user_id": ["ann"], "item_id": ["fig"], "timestamp": [2.0]}, now=9.0)
    assert fitted.hydrate(requests).ragged["history"].counts.tolist() == [0, 1]


def test_a_pipeline_takes_other_events_and_keeps_its_features() -> None:
    toy = rk.testing.toy_dataset()
    early = toy.before(toy.until - 20 * 86_400)
    stages = [rk.candidates.Popular(), rk.features.Standard()]
    model = rk.Pipeline(stages).fit(early)
    later = model.with_events(toy)
    assert later["standard"].names == model["standard"].names
    requests = model.requests(["user-1"], now=toy.until)
    before, after = model.candidates(requests), later.candidates(requests)
    assert (after.feature("item_count_7d") >= before.feature("item_count_7d")).all()
    assert after.feature("item_count_7d").sum() > before.feature("item_count_7d").sum() == 0
    assert after.item.tolist() == before.item.tolist() and later["popular"] is not None
