"""The public fixed splits, as recokit datasets. The files are used in place: see `RECOKIT_DATA` in CONTRIBUTING."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recokit.data import Dataset, Ragged
from recokit.typing import IntArray

__all__ = ["Split", "citeulike", "gowalla", "holdout", "read", "s3rec"]


@dataclass(frozen=True, eq=False)
class Split:
    """A training dataset, and the items (codes) that each user (row 0: user code 1) has to be told."""

    name: str
    train: Dataset
    test: Ragged

    @property
    def users(self) -> IntArray:
        """Codes of the users with something to be told."""
        return np.flatnonzero(self.test.counts) + 1

    @property
    def history(self) -> Ragged:
        """What each user has in train, oldest first, by user code - 1."""
        return _lists(self.train.interactions.user, self.train.interactions.item, self.train.n_users)


def folder() -> Path:
    """Return where the data lies: `RECOKIT_DATA`, else beside the checkout."""
    given = os.environ.get("RECOKIT_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"


def read(name: str) -> Split:
    """Return a split by name: gowalla, citeulike-a, Beauty or LastFM."""
    makers = {"gowalla": gowalla, "citeulike-a": citeulike}
    return makers[name]() if name in makers else s3rec(name)


def gowalla() -> Split:
    """Return the split of LightGCN's authors: 29,858 users, 40,981 items; sets without times."""
    import pyarrow.parquet as pq

    frame = pq.read_table(folder() / "gowalla" / "interactions.parquet").to_pydict()
    return _from_columns("gowalla", frame["user"], frame["item"], np.array(frame["split"]) == "train")


def citeulike() -> Split:
    """Return citeulike-a with 10 training articles for each of 5,551 users (P = 10)."""
    import pyarrow.parquet as pq

    frame = pq.read_table(folder() / "citeulike-a" / "interactions.parquet").to_pydict()
    return _from_columns("citeulike-a", frame["user"], frame["item"], np.array(frame["cvae_p10"]) == "train")


def s3rec(name: str, *, validation: bool = False) -> Split:
    """Return a leave-one-out split in the order of time: the last item is the test, the last but one validation.

    Parameters
    ----------
    name : {"Beauty", "LastFM"}
    validation : bool, default False
        Whether to train without the last two items and tell the last but one.
    """
    lines = (folder() / "s3rec" / f"{name}.txt").read_text().splitlines()
    lists = [np.array(line.split()[1:], np.int64) for line in lines]
    if validation:
        lists = [items[:-1] for items in lists]
    counts = np.array([len(items) for items in lists])
    user = np.repeat(np.arange(1, len(lists) + 1), counts)
    item = np.concatenate(lists)
    last = np.zeros(len(item), np.bool_)
    last[np.cumsum(counts) - 1] = True
    return _from_columns(name, user, item, ~last)


def holdout(split: Split, *, share: float = 0.1, rare: bool = False, seed: int = 0) -> Split:
    """Cut a validation part from train: a share of each user's distinct items, at least one where they have three.

    For choosing options without a look at the test part. ``rare`` draws items in inverse proportion to their number of
    users: for citeulike-a, whose train part holds the well-known articles of each user and whose test part the rest.
    """
    log = split.train.interactions
    random = np.random.default_rng(seed)
    # The smallest of exponential times with such rates come first: a draw without replacement.
    times = random.exponential(size=len(log)) * (np.bincount(log.item)[log.item] if rare else 1.0)
    order = np.lexsort((times, log.user))
    counts = np.bincount(log.user, minlength=split.train.n_users + 1)
    place = np.arange(len(log)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.where(counts < 3, 0, np.maximum(1, np.round(counts * share))).astype(np.int64)
    out = np.zeros(len(log), np.bool_)
    out[order] = place < np.repeat(held, counts)
    train = split.train.with_interactions(log.take(np.flatnonzero(~out)))
    return Split(
        f"{split.name} (validation)", train, _lists(log.user[out], log.item[out], split.train.n_users)
    )


def _from_columns(name: str, user: object, item: object, is_train: np.ndarray) -> Split:
    users, user_code = np.unique(np.asarray(user), return_inverse=True)
    items, item_code = np.unique(np.asarray(item), return_inverse=True)
    # The sets have no times: the place in the file stands for one, which keeps the order of sequences.
    frame = {
        "user_id": users[user_code[is_train]],
        "item_id": items[item_code[is_train]],
        "timestamp": np.arange(np.count_nonzero(is_train), dtype=np.float64),
    }
    train = Dataset.from_frame(frame, users={"user_id": users}, items={"item_id": items})
    code_of_user, code_of_item = train.user_ids.encode(users), train.item_ids.encode(items)
    test = _lists(code_of_user[user_code[~is_train]], code_of_item[item_code[~is_train]], train.n_users)
    return Split(name, train, test)


def _lists(user: IntArray, item: IntArray, n_users: int) -> Ragged:
    order = np.argsort(user, kind="stable")
    counts = np.bincount(user, minlength=n_users + 1)[1:]
    return Ragged(np.concatenate([[0], np.cumsum(counts)]), item[order])
