"""Whatever is sponsored, boosted or pinned by payment carries its label in the list, whatever stages there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Dataset, Ragged
from recokit.errors import ConfigurationError

POPULAR = candidates.Popular(half_life=None)
PAID = {2, 5}


@pytest.fixture(scope="module")
def shop() -> Dataset:
    pairs = [(user, item) for user in range(1, 21) for item in range(1, 9) if item <= user]
    log = {
        "user_id": [u for u, _ in pairs],
        "item_id": [i for _, i in pairs],
        "timestamp": [*range(len(pairs))],
    }
    items = {
        "item_id": [*range(1, 9)],
        "sponsored": [item in PAID for item in range(1, 9)],
        "is_ad": [item == 7 for item in range(1, 9)],
        "margin": [0.1 * item for item in range(1, 9)],
    }
    return Dataset.from_frame(log, items=items)


def labels_of(answer: rk.Recommendations) -> dict[int, str]:
    ids = [item for row in range(len(answer)) for item in answer.ids(row)]
    return dict(zip(ids, answer.columns["labels"].tolist(), strict=True))


def labels(pipeline: rk.Pipeline, shop: Dataset) -> dict[int, str]:
    return labels_of(pipeline.fit(shop).recommend([None], k=8, now=1e9))


class Overwrites:
    """Annotator that writes labels of its own over those that there are."""

    provides = ("labels",)

    def __init__(self, label: str = "new") -> None:
        self.label = label

    def annotate(self, candidates: Any) -> dict[str, Any]:
        return {"labels": np.full(len(candidates), self.label, object)}


@pytest.mark.parametrize(
    "stages",
    [
        [POPULAR],
        [POPULAR, rules.Slots("sponsored", [1])],
        [POPULAR, rules.Pinned({5: 1})],
        [POPULAR, rules.Disclose("sponsored")],
        [POPULAR, Overwrites()],
        [POPULAR, rules.Disclose("sponsored"), Overwrites()],
        [POPULAR, rules.Disclose("sponsored"), Overwrites(""), rk.Step(Overwrites("b"), name="again")],
        [POPULAR, rules.Disclose("sponsored"), rules.Reasons()],
        [POPULAR, rk.Step(rules.Disclose("sponsored"), when=lambda requests: np.zeros(len(requests), bool))],
        [candidates.Editorial([5, 2, 3])],
    ],
    ids=lambda stages: "-".join(type(stage).__name__ for stage in stages),
)
def test_sponsored_items_are_labelled_whatever_stages_follow(shop: Dataset, stages: list[Any]) -> None:
    found = labels(rk.Pipeline(stages), shop)
    assert PAID & {*found}
    for item, label in found.items():
        assert ("sponsored" in label.split(",")) == (item in PAID)
        assert ("ad" in label.split(",")) == (item == 7)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sponsored", ["no", "yes"]),
        ("sponsored", ["False", "TRUE "]),
        ("sponsored", ["0", "1"]),
        ("sponsored", ["", "ACME"]),
        ("sponsored", [None, "Ads & Co|ACME"]),
        ("Sponsored", [False, True]),
        ("isSponsored", [0, 1]),
        ("is-sponsored", [None, 1.0]),
        ("SPONSORED_FLAG", ["N", "Y"]),
        ("isPromoted", ["organic", "paid"]),
    ],
)
def test_flags_are_read_however_they_are_written(name: str, values: list[Any]) -> None:
    log = {"user_id": [1] * 4, "item_id": [1, 2, 3, 4], "timestamp": [1, 2, 3, 4]}
    data = Dataset.from_frame(log, items={"item_id": [1, 2, 3, 4], name: values * 2})
    pipeline = rk.Pipeline([POPULAR]).fit(data)
    found = labels_of(pipeline.recommend([None], k=4, now=1e9))
    assert {item for item, label in found.items() if label} == {2, 4}
    ordered = Ragged.from_lists([np.arange(1, 5)])
    completed = pipeline.complete(pipeline.requests([None], k=4, now=1e9), ordered)
    assert labels_of(completed) == found


def test_other_columns_flag_nothing() -> None:
    log = {"user_id": [1] * 4, "item_id": [1, 2, 3, 4], "timestamp": [1, 2, 3, 4]}
    items = {
        "item_id": [1, 2, 3, 4],
        "unsponsored": [1, 1, 1, 1],
        "sponsor_rank": [1, 2, 3, 4],
        "paid": [1, 1, 0, 0],
    }
    found = rk.Pipeline([POPULAR]).fit(Dataset.from_frame(log, items=items)).recommend([None], k=4, now=1e9)
    assert "labels" not in found.columns


def test_in_the_fallback_in_similar_items_and_without_the_stage(shop: Dataset) -> None:
    empty = candidates.FromFunction(lambda requests, limit: [[]] * len(requests))
    assert "sponsored" in labels(rk.Pipeline([empty], fallback=POPULAR), shop)[5]
    pipeline = rk.Pipeline([candidates.ItemKNN(), rules.Disclose("sponsored")]).fit(shop)
    assert labels_of(pipeline.similar_items([1], k=8))[5] == "sponsored"
    bare = pipeline.without("disclose")
    assert labels_of(bare.similar_items([1], k=8))[5] == "sponsored"


def test_a_label_of_ones_own_is_enough(shop: Dataset) -> None:
    found = labels(rk.Pipeline([POPULAR, rules.Disclose("sponsored", label="Anzeige")]), shop)
    assert found[5] == "Anzeige" and found[7] == "ad" and found[1] == ""


BOOST = rules.Boost("item.margin > 0.55", label="promoted by us")


class TestMovedItems:
    def test_what_nothing_labels_is_refused_at_construction(self, shop: Dataset) -> None:
        for rule in (
            BOOST,
            rules.FreshnessBoost(),
            rules.Pinned({5: 1}, label="paid"),
            rules.Slots("margin", [1], only=0.1, label="p"),
        ):
            with pytest.raises(ConfigurationError, match="nothing that labels"):
                rk.Pipeline([POPULAR, rule])

    def test_another_rule_of_the_same_label_is_not_that_rule(self) -> None:
        other = rules.Boost("item.margin > 0.7", label="promoted by us")
        with pytest.raises(ConfigurationError, match="nothing that labels"):
            rk.Pipeline([POPULAR, BOOST, rules.Disclose(other)])

    def test_an_equal_rule_is_that_rule(self) -> None:
        equal = rules.Boost("item.margin > 0.55", label="promoted by us")
        rk.Pipeline([POPULAR, BOOST, rules.Disclose([equal, "sponsored"])])
        listed = rules.Boost(np.array([1, 2]))
        rk.Pipeline([POPULAR, listed, rules.Disclose(rules.Boost(np.array([1, 2])))])

    def test_paid_pins_are_labelled(self, shop: Dataset) -> None:
        pin = rules.Pinned({8: 1}, label="paid")
        found = labels(rk.Pipeline([POPULAR, pin, rules.Disclose(pin)]), shop)
        assert next(iter(found)) == 8 and found[8] == "paid"

    def test_replacing_a_boost_replaces_what_is_labelled(self, shop: Dataset, tmp_path: Any) -> None:
        pipeline = rk.Pipeline([POPULAR, BOOST, rules.Disclose([BOOST, "sponsored"])]).fit(shop)
        other = rules.Boost("item.margin < 0.25", label="of the house")
        for changed in (
            pipeline.replace("boost", other),
            self.loaded(pipeline, tmp_path).replace("boost", other),
        ):
            found = labels_of(changed.recommend([None], k=8, now=1e9))
            assert {item for item, label in found.items() if "of the house" in label} == {1, 2}
            assert not any("promoted by us" in label for label in found.values())
        before = labels_of(pipeline.recommend([None], k=8, now=1e9))
        assert {item for item, label in before.items() if "promoted by us" in label} == {6, 7, 8}

    def loaded(self, pipeline: rk.Pipeline, tmp_path: Any) -> rk.Pipeline:
        pipeline.save(tmp_path / "model")
        return rk.Pipeline.load(tmp_path / "model")

    def test_a_pipeline_as_source_owes_the_labels_of_its_boosts(self, shop: Dataset) -> None:
        inner = rk.Pipeline([POPULAR, BOOST, rules.Disclose(BOOST)]).fit(shop)
        for stages in ([inner.as_source()], [candidates.Merge([inner.as_source(), POPULAR])]):
            with pytest.raises(ConfigurationError, match="nothing that labels"):
                rk.Pipeline(stages)
        with pytest.raises(ConfigurationError, match="nothing that labels"):
            rk.Pipeline([POPULAR], fallback=inner.as_source())
        outer = rk.Pipeline(
            [
                rk.Pipeline([inner.as_source(), rules.Disclose(BOOST)]).fit(shop).as_source(),
                rules.Disclose(BOOST),
            ]
        )
        assert {item for item, label in labels(outer, shop).items() if "promoted" in label} == {6, 7, 8}

    def test_a_prefix_is_for_looking_and_needs_no_labels(self, shop: Dataset) -> None:
        stages = [POPULAR, BOOST, rules.MaxPerGroup("margin", 1), rules.Disclose(BOOST)]
        prefix = rk.Pipeline(stages).fit(shop).prefix("max_per_group")
        assert prefix.names == ("popular", "boost")
