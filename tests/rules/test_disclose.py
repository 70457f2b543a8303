"""Disclosure: which label is put, what must carry it, and what is dropped without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recokit import rules
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError
from recokit.protocols import MovesItems
from recokit.testing import toy_dataset

SCHEMA: Schema = toy_dataset().schema
BATCH = Candidates.from_lists([[1, 2, 3, 4]])
IDS = SCHEMA.item_ids.ids


def with_flags(name: str, values: list[float]) -> Schema:
    """Return the schema with a numeric item column: unknown for item 0 and all later items."""
    column = np.full(len(SCHEMA.item_ids) + 1, np.nan, np.float32)
    column[1 : len(values) + 1] = values
    items = replace(
        SCHEMA.items,
        numeric=np.column_stack([SCHEMA.items.numeric, column]),
        numeric_names=(*SCHEMA.items.numeric_names, name),
    )
    return replace(SCHEMA, items=items)


def test_above_zero_is_labelled_zero_is_not_and_unknown_is_dropped() -> None:
    rule = rules.Disclose("paid").bind(with_flags("paid", [1.0, 0.0, 0.25, np.nan]))
    labelled = BATCH.with_columns(rule.annotate(BATCH))
    assert labelled.columns["labels"].tolist() == ["paid", "", "paid", ""]
    assert rule.verify(labelled).tolist() == [True, True, True, False]
    assert rule.verify(BATCH).tolist() == [False, True, False, False]


def test_a_label_of_its_own_and_a_name_with_its_entity() -> None:
    schema = with_flags("paid", [1.0, 0.0, 0.0, 0.0])
    assert rules.Disclose("item.paid").labels == ("paid",)
    rule = rules.Disclose("item.paid", label="ad").bind(schema)
    assert rule.requires == ("item.paid",)
    assert rule.labels == ("ad",)
    assert rule.annotate(BATCH)["labels"].tolist() == ["ad", "", "", ""]


def test_labels_add_up_once_each_and_a_longer_label_is_another() -> None:
    rule = rules.Disclose("paid").bind(with_flags("paid", [1.0, 1.0, 1.0, 0.0]))
    before = BATCH.with_columns({"labels": np.array(["new", "paid", "prepaid", "x"], object)})
    labels = rule.annotate(before)["labels"]
    assert labels.tolist() == ["new,paid", "paid", "prepaid,paid", "x"]
    assert before.columns["labels"].tolist() == ["new", "paid", "prepaid", "x"]
    assert rule.verify(before).tolist() == [False, True, False, True]


def test_columns_and_rules_together_are_each_checked() -> None:
    boost = rules.Boost([IDS[1]], label="lifted")
    rule = rules.Disclose(["paid", boost]).bind(with_flags("paid", [1.0, 0.0, 0.0, 0.0]))
    assert rule.labels == ("paid", "lifted")
    assert rule.requires == ("item.paid",)
    labelled = BATCH.with_columns(rule.annotate(BATCH))
    assert labelled.columns["labels"].tolist() == ["paid", "lifted", "", ""]
    assert rule.verify(labelled).all()
    half = BATCH.with_columns({"labels": np.array(["paid", "", "", ""], object)})
    assert rule.verify(half).tolist() == [True, False, True, True]


def test_what_moves_items_without_a_label_cannot_be_disclosed() -> None:
    bury = rules.Bury([IDS[1]])
    assert isinstance(bury, MovesItems)
    with pytest.raises(ConfigurationError, match="expected the name of an item column"):
        rules.Disclose(bury)


@pytest.mark.parametrize(
    ("column", "label", "message"),
    [
        ([], None, "found nothing to disclose"),
        ("paid", "", "text without a comma, for one column"),
        ("paid", "a,b", "text without a comma"),
        (["paid"], "ad", "for one column"),
    ],
)
def test_what_cannot_be_a_label_is_refused(column: object, label: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        rules.Disclose(column, label=label)
