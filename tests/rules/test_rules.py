"""Rules: what they let through, unknowns included, and what they refuse at construction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recokit.data import Candidates, Live, Ragged, Requests, Schema
from recokit.errors import ConfigurationError, ContractError, DataWarning, NotFittedError
from recokit.rules import Allowed, Blocked, Disclose, InStock, MaxPerGroup, MaxShare, NotOwned, NotSeen
from recokit.testing import toy_dataset


@pytest.fixture(scope="module")
def schema() -> Schema:
    return toy_dataset().schema


def with_column(schema: Schema, name: str, values: list[float]) -> Schema:
    """Return the schema with one numeric item column for the first items; NaN for the others."""
    column = np.full(len(schema.item_ids) + 1, np.nan, np.float32)
    column[1 : len(values) + 1] = values
    table = replace(
        schema.items,
        numeric=np.column_stack([schema.items.numeric, column]),
        numeric_names=(*schema.items.numeric_names, name),
    )
    return replace(schema, items=table)


FOUR = Candidates.from_lists([[1, 2, 3, 4]])
UNITS = [5.0, 0.0, -1.0, np.nan]


class TestInStock:
    @pytest.mark.parametrize("kind", ["array", "live", "callable", "column"])
    def test_only_what_is_known_to_be_there_is_in_stock(self, schema: Schema, kind: str) -> None:
        array = np.append([9.0, *UNITS], np.zeros(len(schema.item_ids) - len(UNITS)))
        stock: Any = {
            "array": array,
            "live": Live(array),
            "callable": lambda item: array[item],
            "column": "units",
        }[kind]
        rule = InStock(stock, codes=kind == "callable").bind(with_column(schema, "units", UNITS))
        assert rule.keep(FOUR).tolist() == [True, False, False, False]

    def test_it_is_left_out_of_training(self) -> None:
        assert InStock(np.ones(3)).live

    @pytest.mark.parametrize("stock", [np.ones(3), np.ones((5, 2)), lambda item: np.ones(1)])
    def test_stock_of_the_wrong_length_is_a_contract_error(self, stock: Any) -> None:
        with pytest.raises(ContractError, match="found stock of shape"):
            InStock(stock).keep(FOUR)

    @pytest.mark.parametrize("stock", [5, None, ""])
    def test_what_is_no_stock_is_refused(self, stock: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"found (stock of type|column='')"):
            InStock(stock)

    def test_an_unknown_column_is_refused_and_an_unbound_one_too(self, schema: Schema) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'price'"):
            InStock("prize").bind(schema)
        with pytest.raises(NotFittedError, match="InStock before bind"):
            InStock("price").keep(FOUR)
        assert InStock("price").requires == ("item.price",)


class TestNotOwnedAndNotSeen:
    requests = Requests.build(
        np.array([1, 2]),
        now=100 * 86_400.0,
        ragged={
            "owned": Ragged(
                np.array([0, 2, 2]), np.array([1, 2]), {"timestamp": np.array([10 * 86_400.0, 99 * 86_400.0])}
            ),
            "history": Ragged.from_lists([[3], [4]]),
        },
    )
    batch = Candidates.from_lists([[1, 2, 3], [1, 2, 4]], requests=requests)

    def test_owned_items_go_for_their_owner_only(self) -> None:
        assert NotOwned().keep(self.batch).tolist() == [False, False, True, True, True, True]

    def test_consumables_may_be_bought_again_and_an_unknown_flag_is_none(self, schema: Schema) -> None:
        bound = NotOwned(except_for="daily").bind(with_column(schema, "daily", [1.0]))
        assert bound.keep(self.batch).tolist()[:3] == [True, False, True]
        assert NotOwned(except_for="daily").requires == ("owned", "item.daily")

    def test_a_window_forgets_old_purchases(self) -> None:
        assert NotOwned(window="30D").keep(self.batch).tolist()[:3] == [True, False, True]

    def test_seen_items_go(self) -> None:
        assert NotSeen().keep(self.batch).tolist() == [True, True, False, True, True, False]


class TestAllowedAndBlocked:
    def test_by_id(self, schema: Schema) -> None:
        ids = schema.item_ids.decode([1, 3]).tolist()
        assert Allowed(ids).bind(schema).keep(FOUR).tolist() == [True, False, True, False]
        assert Blocked(ids).bind(schema).keep(FOUR).tolist() == [False, True, False, True]

    def test_an_id_that_the_catalogue_lacks_blocks_nothing(self, schema: Schema) -> None:
        unknown = [10**9] if schema.item_ids.kind == "int" else ["none"]
        for rule, kept in ((Blocked(unknown, max_unknown=1), 4), (Allowed(unknown, max_unknown=1), 0)):
            with pytest.warns(DataWarning, match="found 1 of 1 ids"):
                assert rule.bind(schema).keep(FOUR).sum() == kept

    def test_by_flag_a_missing_one_is_unsafe(self, schema: Schema) -> None:
        flagged = with_column(schema, "withdrawn", [1.0, 0.0, np.nan])
        assert Blocked("withdrawn").bind(flagged).keep(FOUR).tolist() == [False, True, False, False]
        assert Allowed("withdrawn").bind(flagged).keep(FOUR).tolist() == [True, False, False, False]

    @pytest.mark.parametrize("rule", [Allowed, Blocked])
    def test_what_is_no_list_is_refused(self, rule: Any) -> None:
        with pytest.raises(ConfigurationError, match="found items=5"):
            rule(5)
        with pytest.raises(NotFittedError):
            rule([1]).keep(FOUR)


@pytest.mark.parametrize(
    "rule",
    [
        Allowed("category"),
        Blocked("category"),
        Disclose("category"),
        InStock("category"),
        NotOwned(except_for="category"),
    ],
)
def test_a_flag_must_be_a_number_since_yes_and_no_are_both_text(schema: Schema, rule: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="labels or text in item column 'category'; expected numbers"
    ):
        rule.bind(schema)


class TestCaps:
    def test_groups_are_the_columns_labels(self, schema: Schema) -> None:
        cap = MaxShare("category", 0.4, hard=True, relax_order=3).bind(schema).limit(FOUR)[0]
        assert cap.take(np.arange(4)).group.tolist() == schema.item_column("category")[[1, 2, 3, 4]].tolist()
        assert (cap.share, cap.hard, cap.relax_order) == (0.4, True, 3)

    def test_a_number_groups_by_its_values_missing_ones_together(self, schema: Schema) -> None:
        bound = MaxPerGroup("brand_number", 2, within=5, sliding=True).bind(
            with_column(schema, "brand_number", [7.0, 7.0, np.nan, np.nan])
        )
        cap = bound.limit(FOUR)[0].take(np.arange(4))
        assert cap.group[0] == cap.group[1] != cap.group[2] == cap.group[3]
        assert (cap.maximum, cap.within, cap.sliding) == (2, 5, True)

    @pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
    def test_a_share_out_of_range_is_refused(self, share: float) -> None:
        with pytest.raises(ConfigurationError, match="expected a number above 0 and at most 1"):
            MaxShare("category", share)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"maximum": 0}, "maximum=0; expected a whole number of at least 1"),
            ({"maximum": 1, "within": 0}, "within=0"),
            ({"maximum": 1, "sliding": True}, "sliding=True without within"),
        ],
    )
    def test_numbers_out_of_range_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            MaxPerGroup("seller", **options)

    def test_an_unknown_column_is_refused(self, schema: Schema) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'seller'"):
            MaxPerGroup("seler", 1).bind(schema)
        with pytest.raises(NotFittedError, match="MaxShare before bind"):
            MaxShare("category", 0.4).limit(FOUR)


class TestDisclose:
    @pytest.fixture
    def rule(self, schema: Schema) -> Disclose:
        return Disclose("paid", label="ad").bind(with_column(schema, "paid", [1.0, 0.0, 1.0]))

    def test_sponsored_items_are_labelled(self, rule: Disclose) -> None:
        assert rule.annotate(FOUR)["labels"].tolist() == ["ad", "", "ad", ""]

    def test_labels_of_others_stay(self, rule: Disclose) -> None:
        batch = FOUR.with_columns({"labels": np.array(["new", "new", "", ""], object)})
        assert rule.annotate(batch)["labels"].tolist() == ["new,ad", "new", "ad", ""]
        assert batch.columns["labels"].tolist() == ["new", "new", "", ""]

    def test_without_its_label_a_sponsored_item_fails_and_an_unknown_one_always(self, rule: Disclose) -> None:
        assert rule.verify(FOUR.with_columns(rule.annotate(FOUR))).tolist() == [True, True, True, False]
        assert rule.verify(FOUR).tolist() == [False, True, False, False]
        other = FOUR.with_columns({"labels": np.array(["add", "", "bad", ""], object)})
        assert rule.verify(other).tolist() == [False, True, False, False]

    @pytest.mark.parametrize("label", ["", "a,b"])
    def test_a_label_that_could_not_be_read_back_is_refused(self, label: str) -> None:
        with pytest.raises(ConfigurationError, match="without a comma"):
            Disclose("sponsored", label=label)

    def test_a_column_must_have_a_name(self) -> None:
        with pytest.raises(ConfigurationError, match="found column=5"):
            Disclose(5)  # type: ignore[arg-type]
