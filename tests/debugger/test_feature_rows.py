"""Features of another candidate, of another user, and those that are off item by item."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.debugger.checks.feature_rows import FeatureNoise, FeatureRows
from recokit.testing import faults, toy_dataset

DATA = toy_dataset()
USERS = DATA.user_ids.decode(np.arange(1, 13)).tolist()


class Block:
    """Four features of items, and four of users."""

    names = ("i0", "i1", "i2", "i3", "u0", "u1", "u2", "u3")

    def __init__(self):
        self.items = np.random.default_rng(1).normal(5, 1, (DATA.n_items + 1, 4)).astype(np.float32)
        self.users = np.random.default_rng(2).normal(5, 1, (DATA.n_users + 1, 4)).astype(np.float32)

    def featurize(self, candidates):
        return np.concatenate([self.items[candidates.item], self.users[candidates.user]], axis=1)


PIPELINE = rk.Pipeline([candidates.Popular(half_life=None), Block()]).fit(DATA)
ITEM, USER = Block.names[:4], Block.names[4:]


def found(change, check=None):
    broken = PIPELINE.replace("block", change(PIPELINE["block"]))
    checks = [FeatureRows(), FeatureNoise()] if check is None else [check]
    debugger = rk.RecommendationDebugger(broken, baseline=PIPELINE, checks=checks)
    many = debugger.diagnose_many(USERS, now=DATA.until, scan=False)
    codes = {one.code for one in many.findings if one.code.startswith("FEATURES")}
    whose = {one.evidence.get("whose") for one in many.findings if one.code == "FEATURES_OF_ANOTHER"}
    return codes, whose


OTHERS = np.concatenate([[0], np.roll(np.arange(1, DATA.n_users + 1), 1)])


@pytest.mark.parametrize(
    ("change", "whose"),
    [
        (lambda block: faults.rows_shifted(block, ITEM, 3), "candidate"),
        (lambda block: faults.rows_shifted(block, ITEM[:3], 1), "candidate"),
        (lambda block: faults.of_user(block, USER, OTHERS), "user"),
        (lambda block: faults.of_user(block, USER[:2], OTHERS), "user"),
    ],
)
def test_features_of_another(change, whose):
    assert found(change) == ({"FEATURES_OF_ANOTHER"}, {whose})


@pytest.mark.parametrize(
    "change",
    [
        lambda block: block,
        lambda block: faults.rows_shifted(block, ITEM[:2], 3),
        lambda block: faults.of_user(block, USER[:1], OTHERS),
        lambda block: faults.scaled(block, USER, 60.0),
        lambda block: faults.scaled(block, USER, 1.2),
        lambda block: faults.drifted(block, USER, [6.0, -6.0, 8.0, 7.0]),
        lambda block: faults.drifted(block, Block.names, np.linspace(0.5, 1.5, 8)),
        lambda block: faults.defaulted(block, USER, 0.0, share=1.0, seed=1),
        lambda block: faults.swapped(block, "i0", "i1"),
        lambda block: faults.dropped(block, USER),
    ],
)
def test_what_else_has_happened_to_features_is_another_checks(change):
    assert found(change)[0] == set()


def test_features_that_are_off_item_by_item():
    assert found(lambda block: faults.noisy(block, ITEM[:2], [3.0, 3.0], 1))[0] == {"FEATURES_NOISY"}
    assert found(lambda block: faults.noisy(block, ITEM[:2], [0.5, 0.5], 1))[0] == set()
    assert found(lambda block: faults.scaled(block, ITEM[:2], 4.0))[0] == set()
    assert found(lambda block: faults.drifted(block, ITEM[:2], [4.0, 4.0]))[0] == set()
