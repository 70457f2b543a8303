"""TwoTower: a vector for the request, a vector for each item, and the items nearest to the request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.segments import counts_to_offsets, multi_arange
from recokit._neural.training import Weights, generator, threads, to_tensors
from recokit._utils.options import above, between, names, rules, whole
from recokit.candidates._retrieve import retrieve_nearest
from recokit.candidates._weights import decay
from recokit.candidates.neural import _towers
from recokit.candidates.neural._sequences import (
    Held,
    Sequences,
    history_weight,
    ndcg,
    recent,
    rows_at_once,
    sequences,
)
from recokit.candidates.neural._towers import CONTEXT, Columns, Inputs
from recokit.candidates.neural._training import NetworkSource
from recokit.data import Dataset, Ragged, Requests, RequestsById, Retrieved, Table
from recokit.data.by_id import in_codes
from recokit.data.sampling import Positives, accidental_hits
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray, Float32Array, IntArray

if TYPE_CHECKING:
    import torch

#: Hard negatives are drawn from the best items outside of what the user took; the first few are spared, as likely
#: positives to come.
_MINED, _SPARED = 50, 5


@dataclass(eq=False, repr=False)
class TwoTower(NetworkSource):
    """Source of the items whose vectors are nearest to the request's: two small networks and a common space.

    The item tower reads an item's id and its columns, so that items without any event have a vector too. The user tower
    reads the mean of the history's items, the user's columns and the moment of the request; users unknown at fit are
    served from their history. Trained by softmax against the other items of the batch and items drawn from the whole
    catalogue, corrected for how often each item is expected among them (logQ), without those that the user took.

    Parameters
    ----------
    n_factors : int, default 64
        Length of the vectors.
    user_features, item_features : sequence of str
        Columns of the user and of the item table, numeric or categorical, such as ``"age"`` or ``"item.category"``.
    context : sequence of str
        Of ``"hour"``, ``"weekday"`` and ``"month"``: of the request's time, UTC.
    hidden : sequence of int, default (128,)
        Widths of the hidden layers of both towers.
    temperature : float, default 0.1
        The cosine of two vectors is divided by it. Smaller separates close items better, and learns noise sooner.
    max_history : int, default 50
        Only this many of the most recent events of the history count.
    half_life : duration, optional
        Half-life of an event's weight: in the mean of the history as of the request (in ``fit``, as of the event to be
        foreseen), in the loss as of the end of the data.
    uniform_negatives : int, default 512
        Items drawn uniformly from the catalogue for each batch, beside the batch's own.
    hard_negatives : int, default 0
        For each event, items drawn from those that the current model puts first for the user and that the user did not
        take; mined again before every epoch but the first.
    id_dropout : float, default 0.1
        With ``item_features``: share of the items of a batch that have to do without their id, so that columns alone
        make a good vector.
    n_epochs : int, default 30
        At most.
    patience : int, default 3
        Stop when so many epochs in a row were no better, by NDCG@10 of the validation part; the best one's weights are
        kept.
    batch_size : int, default 1024
        Events.
    learning_rate : float, default 0.001
    weight_decay : float, default 0.0
        Of AdamW.
    validation : {"time", "last"} or None, default "time"
        Hold out the last share of all events in time, or the last event of a share of the users. None, or where
        no user would have both a history and something held out: run all epochs, on everything.
    validation_share : float, default 0.1
    refit : bool, default False
        Train once more, for the best number of epochs, with nothing held out.
    checkpoint : str, optional
        Folder that holds the state after each epoch; a fit that finds one there goes on from it. With ``refit``, of the
        first training.
    random_state : int, default 0
    device : str, default "cpu"
        Where ``fit`` runs; serving is on the CPU.
    n_threads : int, default 2
        Threads of ``fit``. The same seed gives the same weights for the same number of threads, so it is not read from
        the machine.
    progress : bool, default False
        Show a progress bar.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    A row without history gets no items, unless there are ``user_features`` and the user is known. Items without events
    are returned, and count in a history, where there are ``item_features``.

    Attributes
    ----------
    item_vectors_ : ndarray of float32, shape (n_items + 1, n_factors)
        Of length 1; with :meth:`encode`, what an AnnIndex needs.
    base_ : ndarray of float32, shape (n_items + 1, n_factors)
        Items as the user tower reads them.
    usable_ : ndarray of bool, shape (n_items + 1,)
        Items that have a vector.
    weights_ : dict of str to ndarray of float32
    users_, items_ : Columns
    scores_ : ndarray of float64
        NDCG@10 of the validation part after each epoch, NaN without one.
    best_epoch_ : int
        1-based; 0 if there was nothing to learn from.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> log = {"user": np.repeat(range(40), 4), "item": np.tile([1, 2, 3, 4, 6, 7, 8, 9], 20), "timestamp": range(160)}
    >>> data = Dataset.from_frame(log)
    >>> model = TwoTower(8, n_epochs=20, learning_rate=0.01, validation=None, n_threads=1).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1, 2]])})
    >>> sorted(model.retrieve(requests, limit=4).item.tolist())
    [1, 2, 3, 4]
    """

    _OPTIONS = rules(
        user_features=names,
        item_features=names,
        context=names,
        temperature=above(0),
        uniform_negatives=whole(0),
        hard_negatives=whole(0),
        id_dropout=between(0, 1, open_high=True),
    )

    n_factors: int = 64
    _: KW_ONLY
    user_features: Sequence[str] = ()
    item_features: Sequence[str] = ()
    context: Sequence[str] = ()
    hidden: Sequence[int] = (128,)
    temperature: float = 0.1
    uniform_negatives: int = 512
    hard_negatives: int = 0
    id_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for width in self.hidden:
            whole(1).check("a width in hidden", width)
        for name in self.context:
            if name not in CONTEXT:
                raise ConfigurationError(f"found no context {name!r}; {did_you_mean(name, CONTEXT)}")

    @property
    def requires(self) -> tuple[str, ...]:
        """The history and the columns."""
        users = (f"user.{name.removeprefix('user.')}" for name in self.user_features)
        items = (f"item.{name.removeprefix('item.')}" for name in self.item_features)
        return ("history", *users, *items)

    @property
    def vectors_(self) -> Float32Array:
        """The item vectors, under the name that other sources have for theirs."""
        return self.item_vectors_

    def fit(self, dataset: Dataset) -> TwoTower:
        """Train, until the validation part says to stop.

        Raises
        ------
        ConfigurationError
            If a column or the device is not there, a checkpoint is of something else, or the loss is not finite.
        DataError
            If a weight is negative or not finite.
        """
        import torch

        inputs = Inputs(
            Columns.of(dataset.items, self.item_features, "item"),
            Columns.of(dataset.users, self.user_features, "user"),
            self.context,
        )
        run = self._learn(
            dataset,
            sequences(dataset, None),
            lambda events, device: _Run(self, events, dataset, inputs, device),
        )
        with threads(self.n_threads), torch.inference_mode():
            weights = to_tensors(self.weights_, run.device)
            base = run.base_of(weights, np.arange(dataset.n_items + 1))
            vectors = _towers.item_vectors(weights, base)
        self.users_, self.items_, self.usable_ = inputs.users, inputs.items, run.usable
        self.base_, self.item_vectors_ = base.cpu().numpy().copy(), vectors.cpu().numpy().copy()
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` nearest items of each row that has a vector.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        queries = self.encode(requests)
        return retrieve_nearest(requests, limit, queries, self.item_vectors_, usable=self.usable_)

    def encode(self, requests: Requests | RequestsById) -> Float32Array:
        """Return the vector of each row, (B, n_factors) float32; all zeros for a row that nothing is known of.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        import torch

        requests = in_codes(requests)
        history = recent(requests, self.usable_, self.max_history)
        weight = history_weight(history, requests.now, self.half_life)
        known = history.counts > 0
        user = np.where(requests.user < len(self.users_.codes), requests.user, 0)
        if self.user_features:
            known |= user > 0
        context = _towers.context_codes(self.context, requests.now)
        with torch.inference_mode():
            weights = to_tensors(self.weights_)
            mean = _towers.pooled(to_tensors({"base": self.base_})["base"], history, weight)
            queries = _towers.user_vectors(weights, mean, self.users_, user, context=context)
            vectors: Float32Array = queries.numpy()
        vectors[~known] = 0.0
        return vectors

    def encode_items(self, items: Table) -> Float32Array:
        """Return vectors of items that were not in the data of ``fit``, from their columns alone.

        Parameters
        ----------
        items : Table
            With the columns of ``item_features``; labels unknown at fit count as missing.

        Returns
        -------
        ndarray of float32, shape (items.n + 1, n_factors)
            Of length 1; row 0 is the item that nothing is known of.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ConfigurationError
            If a column is missing, or the model has no ``item_features``.
        """
        import torch

        if not self.item_features:
            raise ConfigurationError("found no item_features; expected columns that tell items apart")
        columns = self.items_.read(items)
        with torch.inference_mode():
            weights = to_tensors(self.weights_)
            base = _towers.item_base(weights, columns, np.arange(items.n + 1), torch.zeros(items.n + 1))
            vectors: Float32Array = _towers.item_vectors(weights, base).numpy()
        return vectors


class _Run:
    """One training: the weights, and the events that they learn from."""

    def __init__(
        self, model: TwoTower, events: Sequences, dataset: Dataset, inputs: Inputs, device: torch.device
    ) -> None:
        self.model, self.events, self.inputs, self.device = model, events, inputs, device
        self.n_items, self.until = dataset.n_items, dataset.until
        self.counts = np.bincount(events.item, minlength=dataset.n_items + 1)
        self.seen = self.counts > 0
        self.usable = np.ones(dataset.n_items + 1, np.bool_) if model.item_features else self.seen.copy()
        self.usable[0] = False
        self.catalogue = np.flatnonzero(self.usable)
        self.user = events.user
        self.place = np.arange(len(events.item)) - events.offsets[self.user]
        # The first event of a user can be foreseen from the user's columns only.
        self.examples = np.arange(len(events.item)) if model.user_features else np.flatnonzero(self.place > 0)
        self.positives = _positives(events, dataset.n_items)
        self.mined = np.zeros((0, 0), np.int64)
        random = generator(device, model.random_state)
        self.weights = _towers.initial(
            dataset.n_items + 1, model.n_factors, model.hidden, inputs, random=random
        )

    @property
    def n_examples(self) -> int:
        """Events that can be foreseen."""
        return len(self.examples)

    def base_of(self, weights: Weights, items: IntArray, own: torch.Tensor | None = None) -> torch.Tensor:
        """Return the base of items; those without an event have no id."""
        seen = self._tensor(self.seen[items].astype(np.float32))
        return _towers.item_base(weights, self.inputs.items, items, seen if own is None else seen * own)

    def score(self, held: Held) -> float:
        """Return the NDCG@10 of the held-out users."""
        import torch

        with torch.inference_mode():
            base = self.base_of(self.weights, np.arange(self.n_items + 1))
            vectors = _towers.item_vectors(self.weights, base)
            history = held.history.last(self.model.max_history)

            def encode(rows: IntArray) -> torch.Tensor:
                return self._users(self.weights, base, history.take(rows), held.user[rows], held.now[rows])

            return ndcg(held, encode, vectors, self._tensor(np.flatnonzero(~self.usable)))

    def _users(
        self, weights: Weights, base: torch.Tensor, history: Ragged, user: IntArray, now: AnyArray
    ) -> torch.Tensor:
        """Return the vectors of users at times, from histories whose values are rows of the base."""
        mean = _towers.pooled(base, history, history_weight(history, now, self.model.half_life))
        context = _towers.context_codes(self.inputs.context, now)
        return _towers.user_vectors(weights, mean, self.inputs.users, user, context=context)

    def _before(self, event: IntArray) -> Ragged:
        """Return the events before each one in its user's sequence."""
        events = self.events
        counts = np.minimum(self.place[event], self.model.max_history)
        index = multi_arange(event - counts, counts)
        columns = {"weight": events.weight[index], "timestamp": events.timestamp[index]}
        return Ragged(counts_to_offsets(counts), events.item[index], columns)

    def steps(self, epoch: int) -> Iterator[float]:
        """Leave the gradients of a batch of events in the weights and yield its loss, batch after batch."""
        model = self.model
        numbers = np.random.default_rng([model.random_state & 0xFFFFFFFF, epoch])
        random = generator(self.device, model.random_state, epoch + 1)
        if model.hard_negatives and epoch:
            self.mined = self._mine()
        order = self.examples[numbers.permutation(len(self.examples))]
        for start in range(0, len(order), model.batch_size):
            loss = self._loss(order[start : start + model.batch_size], numbers, random)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            yield float(loss.detach())

    def _loss(self, event: IntArray, numbers: np.random.Generator, random: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch of events."""
        events, model = self.events, self.model
        user, now, history = self.user[event], events.timestamp[event], self._before(event)
        drawn = self.catalogue[numbers.integers(0, len(self.catalogue), model.uniform_negatives)]
        hard = self._hard(user, numbers)
        pool = np.concatenate([events.item[event], drawn])
        # Each item of the batch goes through its tower once.
        items, local = np.unique(np.concatenate([pool, hard.ravel(), history.values]), return_inverse=True)
        pool_at, hard_at, history_at = np.split(local, [len(pool), len(pool) + hard.size])
        base = self.base_of(self.weights, items, self._own(len(items), random))
        users = self._users(
            self.weights, base, Ragged(history.offsets, history_at, history.columns), user, now
        )
        vectors = _towers.item_vectors(self.weights, base)
        hits = accidental_hits(user, events.item[event], self.positives, pool=pool)
        hits[np.arange(len(event)), np.arange(len(event))] = False
        weight = events.weight[event] * decay(self.until - now, model.half_life)
        return _towers.in_batch_softmax(
            users,
            vectors[self._tensor(pool_at)],
            log_q=self._tensor(self._log_expected(pool, len(event))),
            hits=hits,
            weight=self._tensor(weight.astype(np.float32)),
            temperature=model.temperature,
            hard=vectors[self._tensor(hard_at.reshape(hard.shape))],
            real=self._tensor(hard > 0),
        )

    def _own(self, n: int, random: torch.Generator) -> torch.Tensor | None:
        """Return factors of the ids, 0 for those items of the batch that go by their columns alone."""
        import torch

        if not self.model.item_features or not self.model.id_dropout:
            return None
        kept = torch.rand(n, generator=random, device=self.device) >= self.model.id_dropout
        return kept.float()

    def _log_expected(self, pool: IntArray, batch: int) -> Float32Array:
        """Return the log of how often each item is expected in a pool: of the batch, and of the uniform draws."""
        expected = batch * self.counts[pool] / len(self.events.item)
        expected = expected + self.model.uniform_negatives / len(self.catalogue)
        return np.log(expected).astype(np.float32)

    def _hard(self, user: IntArray, numbers: np.random.Generator) -> IntArray:
        """Return hard negatives of users (B, H), 0 where there is none; none at all in the first epoch."""
        if not self.mined.shape[1]:
            return np.zeros((len(user), 0), np.int64)
        chosen = numbers.integers(0, self.mined.shape[1], (len(user), self.model.hard_negatives))
        return self.mined[user[:, None], chosen]

    def _mine(self) -> IntArray:
        """Return the items that come first for each user among those that the user did not take, (n_users + 1, 50)."""
        import torch

        events = self.events
        mined = np.zeros((len(events.offsets) - 1, min(_MINED, self.n_items)), np.int64)
        users = np.flatnonzero(np.diff(events.offsets) > 1)
        banned = self._tensor(np.flatnonzero(~self.usable))
        taken = Ragged(self.positives.offsets, self.positives.item)
        with torch.inference_mode():
            base = self.base_of(self.weights, np.arange(self.n_items + 1))
            vectors = _towers.item_vectors(self.weights, base)
            size = rows_at_once(self.n_items + 1)
            for start in range(0, len(users), size):
                user = users[start : start + size]
                last = events.offsets[user + 1] - 1
                queries = self._users(self.weights, base, self._before(last), user, events.timestamp[last])
                scores = queries @ vectors.T
                scores[:, banned] = -torch.inf
                own = taken.take(user)
                scores[self._tensor(own.rows), self._tensor(own.values)] = -torch.inf
                value, best = scores.topk(min(_SPARED + mined.shape[1], scores.shape[1]), dim=1)
                best = torch.where(value > -torch.inf, best, 0)[:, _SPARED:].cpu()
                mined[user, : best.shape[1]] = best.numpy()
        return mined

    def _tensor(self, array: AnyArray) -> torch.Tensor:
        import torch

        return torch.from_numpy(array).to(self.device)


def _positives(events: Sequences, n_items: int) -> Positives:
    key = np.unique(events.user * (n_items + 1) + events.item)
    counts = np.bincount(key // (n_items + 1), minlength=len(events.offsets) - 1)
    return Positives(counts_to_offsets(counts), key % (n_items + 1), n_items)
