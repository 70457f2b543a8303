"""Sequences of events by user, the validation part that is cut from them, and its NDCG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.hashing import row_seeds, uniform
from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit.candidates._weights import decay, with_decay
from recokit.data import Dataset, Ragged, Requests
from recokit.data.times import Duration
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

if TYPE_CHECKING:
    import torch

#: Users of one round of validation at most.
_MAX_USERS = 10_000
#: Scores in memory at once.
_BLOCK = 1 << 24
_DEPTH = 10
_STREAM = 23


@dataclass(frozen=True, eq=False)
class Sequences:
    """Each user's events, oldest first.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_users + 2,)
        User ``u`` has the events ``offsets[u]:offsets[u + 1]``.
    item : ndarray of int64, shape (M,)
    weight : ndarray of float32, shape (M,)
        All above 0.
    timestamp : ndarray of float64, shape (M,)
    """

    offsets: IntArray
    item: IntArray
    weight: Float32Array
    timestamp: AnyArray

    @property
    def user(self) -> IntArray:
        """User of each event, (M,) int64."""
        return offsets_to_rows(self.offsets)

    def where(self, kept: BoolArray) -> Sequences:
        """Return the events for which the mask (M,) is set."""
        counts = np.bincount(self.user[kept], minlength=len(self.offsets) - 1)
        return Sequences(counts_to_offsets(counts), self.item[kept], self.weight[kept], self.timestamp[kept])


@dataclass(frozen=True, eq=False)
class Held:
    """Users of the validation part: their history, the time of the request, and the items that are to be found."""

    user: IntArray
    now: AnyArray
    history: Ragged
    truth: Ragged


def sequences(dataset: Dataset, half_life: Duration | None) -> Sequences:
    """Group the signals by user; weights as of the end of the data."""
    log = dataset.interactions
    bad = np.flatnonzero(~np.isfinite(log.weight) | (log.weight < 0))
    if len(bad):
        raise DataError(f"found weight={log.weight[bad[0]]}; expected finite weights of at least 0", rows=bad)
    weight = with_decay(log, dataset.until, half_life).astype(np.float32)
    kept = np.flatnonzero((weight > 0) & log.counted & (log.item > 0) & (log.user > 0))
    order = kept[np.argsort(log.user[kept], kind="stable")]
    return Sequences(
        counts_to_offsets(np.bincount(log.user[order], minlength=dataset.n_users + 1)),
        log.item[order],
        weight[order],
        log.timestamp[order],
    )


def hold_out(events: Sequences, how: str | None, share: float, seed: int) -> tuple[Sequences, Held | None]:
    """Cut a validation part from the events.

    Parameters
    ----------
    events : Sequences
    how : {"last", "time"} or None
        ``"last"`` holds out the last event of a share of the users that have two; ``"time"`` all events from a time
        on that leaves them this share. None holds out nothing.
    share : float
    seed : int

    Returns
    -------
    train : Sequences
        The rest.
    held : Held or None
        At most 10,000 users with a history and something else held out; None if there is no such user, and then
        nothing is held out.
    """
    if how is None or not len(events.item):
        return events, None
    user, counts = events.user, np.diff(events.offsets)
    if how == "last":
        chosen = (counts > 1) & (_draw(len(counts), seed, 0) < share)
        out = np.zeros(len(user), np.bool_)
        out[events.offsets[1:][chosen] - 1] = True
    else:
        at = min(int(len(user) * (1 - share)), len(user) - 1)
        out = np.asarray(events.timestamp >= np.partition(events.timestamp, at)[at])
    train = events.where(~out)
    held = _held(train, events.where(out), seed)
    return (train, held) if len(held.user) else (events, None)


def _held(train: Sequences, rest: Sequences, seed: int) -> Held:
    n_users = len(train.offsets) - 1
    rest = rest.where(~_known(rest, train))
    users = np.flatnonzero((np.diff(train.offsets) > 0) & (np.diff(rest.offsets) > 0))
    if len(users) > _MAX_USERS:
        draw = _draw(n_users, seed, 1)[users]
        users = np.sort(users[np.argsort(draw, kind="stable")[:_MAX_USERS]])
    columns = {"weight": train.weight, "timestamp": train.timestamp}
    return Held(
        user=users,
        now=rest.timestamp[rest.offsets[users]] if len(users) else np.zeros(0),
        history=Ragged(train.offsets, train.item, columns).take(users),
        truth=Ragged(rest.offsets, rest.item).take(users),
    )


def _known(rest: Sequences, train: Sequences) -> BoolArray:
    """Tell for each event whether the user has the item in train, or earlier in the same part."""
    width = int(max(rest.item.max(initial=0), train.item.max(initial=0))) + 1
    key = rest.user * width + rest.item
    again = np.ones(len(key), np.bool_)
    again[np.unique(key, return_index=True)[1]] = False
    return again | np.isin(key, train.user * width + train.item)


def _draw(n: int, seed: int, stream: int) -> AnyArray:
    codes = np.arange(n)
    return uniform(row_seeds(seed, codes), codes, stream=_STREAM + stream)


def recent(requests: Requests, usable: BoolArray, n: int) -> Ragged:
    """Return the last n items of each row's history, oldest first; those not usable, by code, do not count.

    Events of weight 0 or below are no events; a missing weight counts as 1. Columns beside the items are kept.
    """
    history = requests.signals()
    kept = usable[np.where(history.values < len(usable), history.values, 0)]
    counts = np.bincount(history.rows[kept], minlength=len(requests))
    columns = {name: column[kept] for name, column in history.columns.items()}
    return Ragged(counts_to_offsets(counts), history.values[kept], columns).last(n)


def padded(lists: Ragged) -> tuple[IntArray, IntArray]:
    """Return lists as a block (B, longest), padded with 0 at the end, and their lengths (B,)."""
    counts = lists.counts
    block = np.zeros((len(lists), max(int(counts.max(initial=0)), 1)), np.int64)
    block[np.arange(block.shape[1]) < counts[:, None]] = lists.values
    return block, counts


def rows_at_once(n_codes: int) -> int:
    """Return for how many rows the scores of all items may stand in memory together."""
    return max(_BLOCK // n_codes, 1)


def ndcg(
    held: Held, encode: Callable[[IntArray], torch.Tensor], vectors: torch.Tensor, banned: torch.Tensor
) -> float:
    """Return the mean NDCG@10 over the held-out users, all items ranked but those of the history.

    Parameters
    ----------
    held : Held
    encode : callable
        Returns vectors (b, D) of rows (b,) of ``held``.
    vectors : tensor, shape (n_items + 1, D)
    banned : tensor of int64
        Items that cannot be found, 0 among them.
    """
    import torch

    total = 0.0
    discount = 1 / np.log2(np.arange(2, _DEPTH + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    device = vectors.device
    depth = min(_DEPTH, len(vectors))
    with torch.inference_mode():
        size = rows_at_once(len(vectors))
        for start in range(0, len(held.user), size):
            rows = np.arange(start, min(start + size, len(held.user)))
            scores = encode(rows) @ vectors.T
            scores[:, banned] = -torch.inf
            history, truth = held.history.take(rows), held.truth.take(rows)
            scores[
                torch.from_numpy(history.rows).to(device), torch.from_numpy(history.values).to(device)
            ] = -torch.inf
            best = scores.topk(depth, dim=1)[1].cpu().numpy()
            width = len(vectors)
            hit = np.isin(rows[:, None] * width + best, (truth.rows + start) * width + truth.values)
            gain = (hit * discount[:depth]).sum(axis=1)
            total += float((gain / ideal[np.minimum(truth.counts, _DEPTH)]).sum())
    return total / len(held.user)


def history_weight(history: Ragged, now: AnyArray, half_life: Duration | None) -> Float32Array:
    """Return the weight of each event of the histories (N,) float32, as of each row's time."""
    weight = np.ones(len(history.values))
    if "weight" in history.columns:
        weight = np.nan_to_num(history.columns["weight"].astype(np.float64), nan=1.0)
    if half_life is not None and "timestamp" in history.columns:
        age = np.nan_to_num(now[history.rows] - history.columns["timestamp"], nan=0.0)
        # As of the newest event of the row: the same shares, without weights that vanish.
        newest = np.full(len(history), np.inf)
        np.minimum.at(newest, history.rows, age)
        weight = weight * decay(age - newest[history.rows], half_life)
    return weight.astype(np.float32)
