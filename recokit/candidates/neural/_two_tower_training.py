"""Training of the two towers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets, multi_arange
from recokit._neural.training import (
    Trained,
    Training,
    Weights,
    device_of,
    fingerprint,
    generator,
    threads,
    to_tensors,
    train,
)
from recokit.candidates._shared import decay
from recokit.candidates.neural import _towers
from recokit.candidates.neural._sequences import (
    Held,
    Sequences,
    history_weight,
    hold_out,
    ndcg,
    rows_at_once,
    sequences,
)
from recokit.candidates.neural._towers import Columns
from recokit.data import Dataset, Ragged
from recokit.data.sampling import Positives, accidental_hits
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    import torch

    from recokit.candidates.neural.two_tower import TwoTower

__all__ = ["Fitted", "fit_towers"]

#: Hard negatives are drawn from the best items outside of what the user took; the first few are spared, as likely
#: positives to come.
_MINED, _SPARED = 50, 5


@dataclass(frozen=True, eq=False)
class Fitted:
    """What training found, and what serving needs of the data."""

    trained: Trained
    scores: FloatArray
    users: Columns
    items: Columns
    usable: BoolArray
    base: Float32Array
    vectors: Float32Array


def fit_towers(model: TwoTower, dataset: Dataset) -> Fitted:
    """Train the towers of a model, and compute the item side."""
    import torch

    device = device_of(model.device)
    items = Columns.of(dataset.items, model.item_features, "item")
    users = Columns.of(dataset.users, model.user_features, "user")
    events = sequences(dataset, None)
    part, held = hold_out(events, model.validation, model.validation_share, model.random_state)
    with threads(model.n_threads):
        run = _Run(model, part, held, dataset, items, users, device)
        trained = run.train(model.n_epochs, fingerprint(model, dataset))
        scores = trained.scores
        if model.refit and held is not None:
            run = _Run(model, events, None, dataset, items, users, device)
            trained = run.train(trained.best_epoch, None)
        with torch.inference_mode():
            weights = to_tensors(trained.weights, device)
            base = run.base_of(weights, np.arange(dataset.n_items + 1))
            vectors = _towers.item_vectors(weights, base)
    return Fitted(
        trained,
        scores,
        users,
        items,
        run.usable,
        base.cpu().numpy().copy(),
        vectors.cpu().numpy().copy(),
    )


class _Run:
    """One training: its events and what is derived from them."""

    def __init__(
        self,
        model: TwoTower,
        part: Sequences,
        held: Held | None,
        dataset: Dataset,
        items: Columns,
        users: Columns,
        device: torch.device,
    ) -> None:
        self.model, self.part, self.held, self.items, self.users = model, part, held, items, users
        self.device, self.n_items, self.until = device, dataset.n_items, dataset.until
        self.counts = np.bincount(part.item, minlength=dataset.n_items + 1)
        self.seen = self.counts > 0
        self.usable = np.ones(dataset.n_items + 1, np.bool_) if model.item_features else self.seen.copy()
        self.usable[0] = False
        self.catalogue = np.flatnonzero(self.usable)
        self.user = part.user
        self.place = np.arange(len(part.item)) - part.offsets[self.user]
        # The first event of a user can be foreseen from the user's columns only.
        self.examples = np.arange(len(part.item)) if model.user_features else np.flatnonzero(self.place > 0)
        self.positives = _positives(part, dataset.n_items)
        self.mined = np.zeros((0, 0), np.int64)

    def base_of(self, weights: Weights, items: IntArray, own: torch.Tensor | None = None) -> torch.Tensor:
        """Return the base of items; those without an event have no id."""
        import torch

        seen = torch.from_numpy(self.seen[items].astype(np.float32)).to(self.device)
        return _towers.item_base(weights, self.items, items, seen if own is None else seen * own)

    def train(self, n_epochs: int, fingerprint: dict[str, Any] | None) -> Trained:
        """Train until the validation part says to stop."""
        model = self.model
        random = generator(self.device, model.random_state)
        weights = _towers.initial(
            self.n_items + 1, model.n_factors, model.hidden, self.items, self.users, model.context, random
        )
        held = self.held
        if not len(self.examples):
            n_epochs, held, fingerprint = 0, None, None
        checkpoint = model.checkpoint if fingerprint is not None else None
        training = Training(
            n_epochs,
            model.patience,
            model.learning_rate,
            model.weight_decay,
            checkpoint,
            model.progress,
            "TwoTower",
        )
        judge = None if held is None else lambda: self._judge(weights, held)
        return train(weights, lambda epoch: self._steps(weights, epoch), judge, training, fingerprint or {})

    def _judge(self, weights: Weights, held: Held) -> float:
        import torch

        with torch.inference_mode():
            base = self.base_of(weights, np.arange(self.n_items + 1))
            vectors = _towers.item_vectors(weights, base)
            history = _last(held.history, self.model.max_history)
            banned = torch.from_numpy(np.flatnonzero(~self.usable)).to(self.device)

            def encode(rows: IntArray) -> torch.Tensor:
                lists = history.take(rows)
                weight = self._weights_of(lists, held.now[rows])
                mean = _towers.pooled(base, lists, weight)
                return self._users(weights, mean, held.user[rows], held.now[rows])

            return ndcg(held, encode, vectors, banned)

    def _weights_of(self, lists: Ragged, now: AnyArray) -> Float32Array:
        return history_weight(lists, now, self.model.half_life)

    def _users(self, weights: Weights, mean: torch.Tensor, user: IntArray, now: AnyArray) -> torch.Tensor:
        context = _towers.context_codes(self.model.context, now)
        return _towers.user_vectors(weights, mean, self.users, user, context)

    def _before(self, event: IntArray) -> Ragged:
        """Return what stands before each event in its user's sequence."""
        part = self.part
        counts = np.minimum(self.place[event], self.model.max_history)
        index = multi_arange(event - counts, counts)
        columns = {"weight": part.weight[index], "timestamp": part.timestamp[index]}
        return Ragged(counts_to_offsets(counts), part.item[index], columns)

    def _steps(self, weights: Weights, epoch: int) -> Iterator[float]:
        import torch

        model, part = self.model, self.part
        numbers = np.random.default_rng([model.random_state & 0xFFFFFFFF, epoch])
        random = generator(self.device, model.random_state, epoch + 1)
        if model.hard_negatives and epoch:
            self.mined = self._mine(weights)
        order = self.examples[numbers.permutation(len(self.examples))]
        for start in range(0, len(order), model.batch_size):
            event = order[start : start + model.batch_size]
            user, now = self.user[event], part.timestamp[event]
            history = self._before(event)
            drawn = self.catalogue[numbers.integers(0, len(self.catalogue), model.uniform_negatives)]
            hard = self._hard(user, numbers)
            pool = np.concatenate([part.item[event], drawn])
            every, local = np.unique(
                np.concatenate([pool, hard.ravel(), history.values]), return_inverse=True
            )
            base = self.base_of(weights, every, self._own(len(every), random))
            pool_at, hard_at, history_at = np.split(local, [len(pool), len(pool) + hard.size])
            mean = _towers.pooled(
                base,
                Ragged(history.offsets, history_at),
                self._weights_of(history, now),
            )
            users = self._users(weights, mean, user, now)
            vectors = _towers.item_vectors(weights, base)
            hits = accidental_hits(user, part.item[event], self.positives, pool=pool)
            hits[np.arange(len(event)), np.arange(len(event))] = False
            weight = part.weight[event] * decay(self.until - now, model.half_life)
            loss = _towers.in_batch_softmax(
                users,
                vectors[torch.from_numpy(pool_at).to(self.device)],
                torch.from_numpy(self._log_expected(pool, len(event))).to(self.device),
                hits,
                torch.from_numpy(weight.astype(np.float32)).to(self.device),
                model.temperature,
                vectors[torch.from_numpy(hard_at.reshape(hard.shape)).to(self.device)],
                torch.from_numpy(hard > 0).to(self.device),
            )
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            yield float(loss.detach())

    def _own(self, n: int, random: torch.Generator) -> torch.Tensor | None:
        """Return what to multiply ids with: some items of the batch go by their columns alone."""
        import torch

        if not self.model.item_features or not self.model.id_dropout:
            return None
        kept = torch.rand(n, generator=random, device=self.device) >= self.model.id_dropout
        return kept.float()

    def _log_expected(self, pool: IntArray, batch: int) -> Float32Array:
        """Return the log of how often each item is expected in a pool: of the batch, and of the uniform draws."""
        expected = batch * self.counts[pool] / len(self.part.item)
        expected = expected + self.model.uniform_negatives / len(self.catalogue)
        return np.log(expected).astype(np.float32)

    def _hard(self, user: IntArray, numbers: np.random.Generator) -> IntArray:
        """Return hard negatives of users (B, H), 0 where there is none; none at all in the first epoch."""
        if not self.mined.shape[1]:
            return np.zeros((len(user), 0), np.int64)
        chosen = numbers.integers(0, self.mined.shape[1], (len(user), self.model.hard_negatives))
        return self.mined[user[:, None], chosen]

    def _mine(self, weights: Weights) -> IntArray:
        """Return the items that come first for each user among those that the user did not take, (n_users + 1, 50)."""
        import torch

        offsets = self.part.offsets
        mined = np.zeros((len(offsets) - 1, min(_MINED, self.n_items)), np.int64)
        asked = np.flatnonzero(np.diff(offsets) > 1)
        with torch.inference_mode():
            base = self.base_of(weights, np.arange(self.n_items + 1))
            vectors = _towers.item_vectors(weights, base)
            size = rows_at_once(self.n_items + 1)
            for start in range(0, len(asked), size):
                user = asked[start : start + size]
                last = offsets[user + 1] - 1
                history, now = self._before(last), self.part.timestamp[last]
                mean = _towers.pooled(base, history, self._weights_of(history, now))
                scores = self._users(weights, mean, user, now) @ vectors.T
                scores[:, torch.from_numpy(np.flatnonzero(~self.usable)).to(self.device)] = -torch.inf
                taken = Ragged(self.positives.offsets, self.positives.item).take(user)
                row, item = (torch.from_numpy(part).to(self.device) for part in (taken.rows, taken.values))
                scores[row, item] = -torch.inf
                value, best = scores.topk(min(_SPARED + mined.shape[1], scores.shape[1]), dim=1)
                best = torch.where(value > -torch.inf, best, 0)[:, _SPARED:].cpu()
                mined[user, : best.shape[1]] = best.numpy()
        return mined


def _positives(part: Sequences, n_items: int) -> Positives:
    key = np.unique(part.user * (n_items + 1) + part.item)
    counts = np.bincount(key // (n_items + 1), minlength=len(part.offsets) - 1)
    return Positives(counts_to_offsets(counts), key % (n_items + 1), n_items)


def _last(lists: Ragged, most: int) -> Ragged:
    counts = np.minimum(lists.counts, most)
    index = multi_arange(lists.offsets[1:] - counts, counts)
    columns = {name: column[index] for name, column in lists.columns.items()}
    return Ragged(counts_to_offsets(counts), lists.values[index], columns)
