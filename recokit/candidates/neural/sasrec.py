"""SASRec: the items that come next, by a transformer over the history in its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recokit._kernels.segments import counts_to_offsets, multi_arange
from recokit._neural.training import generator, to_tensors
from recokit._utils.options import between, one_of, rules, whole
from recokit.candidates._retrieve import retrieve_nearest
from recokit.candidates.neural import _transformer
from recokit.candidates.neural._sequences import Held, Sequences, ndcg, padded, recent, sequences
from recokit.candidates.neural._training import NetworkSource
from recokit.data import Dataset, Requests, RequestsById, Retrieved
from recokit.data.by_id import in_codes
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, Float32Array, IntArray

if TYPE_CHECKING:
    import torch

#: Rows encoded at once while serving.
_ROWS = 256
#: Batches whose sequences are sorted by length together: little padding, and still mixed batches.
_SORTED_TOGETHER = 16


@dataclass(eq=False, repr=False)
class SASRec(NetworkSource):
    """Source of the items that come next, by self-attention over the history in its order.

    A causal transformer reads the items of the history, oldest first; the inner product of its last vector with the
    items' embeddings is the score. It is trained to tell every next item from all others (cross-entropy over the
    catalogue), which finds far more than the binary loss of Kang and McAuley (2018) does. Since the answer comes from
    the request's history, users unknown at fit are served. Items of the history are not excluded.

    Parameters
    ----------
    n_factors : int, default 64
        Width of the embeddings and of the transformer.
    n_blocks, n_heads : int, default 2
        Layers, and attention heads in each; ``n_factors`` is a multiple of ``n_heads``.
    max_history : int, default 50
        Only this many of the most recent events count. In ``fit`` longer sequences are cut into pieces: every event
        is learned from.
    dropout : float, default 0.2
        Share of activations set to 0 while training. Small data wants more.
    loss : {"softmax", "sampled"}, default "softmax"
        Over the whole catalogue, or over ``n_negatives`` items drawn for each batch by popularity, with logQ
        correction: for catalogues of more than some 50,000 items.
    n_negatives : int, default 1024
        Of ``loss="sampled"``.
    half_life : duration, optional
        Half-life of an event's weight in the loss, as of the end of the data. The weight says how much an event
        counts as something to be foreseen; in the history, events of any weight above 0 count alike.
    n_epochs : int, default 100
        At most.
    patience : int, default 5
        Stop when so many epochs in a row were no better, by NDCG@10 of the validation part; the best one's weights are
        kept.
    batch_size : int, default 128
        Sequences.
    learning_rate : float, default 0.001
    weight_decay : float, default 0.0
        Of AdamW.
    validation : {"last", "time"} or None, default "last"
        Hold out the last event of a share of the users, or the last share of all events in time. None, or where
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

    Attributes
    ----------
    weights_ : dict of str to ndarray of float32
        ``"item"`` holds the item embeddings by code.
    trained_ : ndarray of bool, shape (n_items + 1,)
        Items with an event in training: the others are neither read nor returned.
    scores_ : ndarray of float64
        NDCG@10 of the validation part after each epoch, NaN without one.
    best_epoch_ : int
        1-based; 0 if there was nothing to learn from.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> log = {"user": np.repeat(range(40), 4), "item": np.tile(range(8), 20), "timestamp": range(160)}
    >>> model = SASRec(16, n_epochs=30, validation=None, n_threads=1).fit(Dataset.from_frame(log))
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1, 2]])})
    >>> model.retrieve(requests, limit=1).item.tolist()
    [3]
    """

    needs_times = True

    _OPTIONS = rules(
        **dict.fromkeys(("n_blocks", "n_heads", "n_negatives"), whole(1)),
        dropout=between(0, 1, open_high=True),
        loss=one_of("softmax", "sampled"),
    )

    requires = ("history",)

    n_factors: int = 64
    _: KW_ONLY
    n_blocks: int = 2
    n_heads: int = 2
    dropout: float = 0.2
    loss: Literal["softmax", "sampled"] = "softmax"
    n_negatives: int = 1024
    n_epochs: int = 100
    patience: int = 5
    batch_size: int = 128
    validation: Literal["last", "time"] | None = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_factors % self.n_heads:
            raise ConfigurationError(
                f"found n_factors={self.n_factors} and n_heads={self.n_heads}; expected a multiple of n_heads"
            )

    @property
    def vectors_(self) -> Float32Array:
        """Item vectors by code, (n_items + 1, D) float32: with :meth:`encode`, what an AnnIndex needs."""
        return self.weights_["item"]

    def fit(self, dataset: Dataset) -> SASRec:
        """Train, until the validation part says to stop.

        Raises
        ------
        ConfigurationError
            If the device is not there, a checkpoint is of something else, or the loss is not finite.
        DataError
            If a weight is negative or not finite.
        """
        n_codes = dataset.n_items + 1
        run = self._learn(
            dataset,
            sequences(dataset, self.half_life),
            lambda events, device: _Run(self, events, n_codes, device),
        )
        self.trained_ = run.counts > 0
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` best items of each row with a history.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        queries = self.encode(requests)
        return retrieve_nearest(requests, limit, queries, self.vectors_, usable=self.trained_)

    def encode(self, requests: Requests | RequestsById) -> Float32Array:
        """Return the vector of each row, (B, n_factors) float32; all zeros without history.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        import torch

        requests = in_codes(requests)
        history = recent(requests, self.trained_, self.max_history)
        vectors = np.zeros((len(requests), self.n_factors), np.float32)
        # Rows of like length together: little padding.
        rows = np.flatnonzero(history.counts)
        rows = rows[np.argsort(history.counts[rows], kind="stable")]
        with torch.inference_mode():
            weights = to_tensors(self.weights_)
            for start in range(0, len(rows), _ROWS):
                here = rows[start : start + _ROWS]
                items, counts = padded(history.take(here))
                states = _transformer.encode(weights, torch.from_numpy(items), self.n_heads)
                vectors[here] = states[torch.arange(len(here)), torch.from_numpy(counts - 1)].numpy()
        return vectors


class _Run:
    """One training: the weights, and the windows of the events that they learn from."""

    def __init__(self, model: SASRec, events: Sequences, n_codes: int, device: torch.device) -> None:
        self.model, self.events, self.device = model, events, device
        self.counts = np.bincount(events.item, minlength=n_codes)
        self.popularity = self.counts / max(len(events.item), 1)
        self.starts, self.lengths = _windows(events, model.max_history)
        random = generator(device, model.random_state)
        self.weights = _transformer.initial(
            n_codes, model.n_factors, model.n_blocks, model.max_history, random=random
        )

    @property
    def n_examples(self) -> int:
        """Windows of events that have a next one."""
        return len(self.starts)

    def score(self, held: Held) -> float:
        """Return the NDCG@10 of the held-out users."""

        def encode(rows: IntArray) -> torch.Tensor:
            items, counts = padded(held.history.take(rows).last(self.model.max_history))
            states = _transformer.encode(self.weights, self._tensor(items), self.model.n_heads)
            return states[self._tensor(np.arange(len(rows))), self._tensor(counts - 1)]

        return ndcg(held, encode, self.weights["item"], self._tensor(np.flatnonzero(self.counts == 0)))

    def steps(self, epoch: int) -> Iterator[float]:
        """Leave the gradients of a batch of windows in the weights and yield its loss, batch after batch."""
        model, items, weights = self.model, self.weights["item"], self.events.weight
        numbers = np.random.default_rng([model.random_state & 0xFFFFFFFF, epoch])
        random = generator(self.device, model.random_state, epoch + 1)
        for batch in _batches(self.lengths, model.batch_size, numbers):
            lengths = self.lengths[batch]
            index = multi_arange(self.starts[batch], lengths)
            block = np.zeros((len(batch), int(lengths.max())), np.int64)
            real = np.arange(block.shape[1]) < lengths[:, None]
            block[real] = self.events.item[index]
            states = _transformer.encode(
                self.weights, self._tensor(block), model.n_heads, model.dropout, random=random
            )
            vectors, target = states[self._tensor(real)], self._tensor(self.events.item[index + 1])
            weight = self._tensor(weights[index + 1])
            if model.loss == "softmax":
                yield _transformer.full_softmax(vectors, items, target, weight)
                continue
            negative, log_q = self._negatives(numbers)
            yield _transformer.sampled_softmax(vectors, items, target, weight, negative=negative, log_q=log_q)

    def _negatives(self, numbers: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw items by popularity, with the log of how often each is expected among them."""
        n, share = self.model.n_negatives, self.popularity
        until = np.cumsum(share)
        drawn = np.searchsorted(until, numbers.random(n) * until[-1], side="right")
        return self._tensor(drawn), self._tensor(np.log(n * share[drawn]).astype(np.float32))

    def _tensor(self, array: AnyArray) -> torch.Tensor:
        import torch

        return torch.from_numpy(array).to(self.device)


def _windows(events: Sequences, length: int) -> tuple[IntArray, IntArray]:
    """Cut sequences into windows of at most so many events that have a next one: their starts and lengths.

    Cut from the end, so that the window that is shorter is the oldest.
    """
    inputs = np.maximum(np.diff(events.offsets) - 1, 0)
    n_windows = -(-inputs // length)
    sequence = np.repeat(np.arange(len(inputs)), n_windows)
    nth = np.arange(len(sequence)) - np.repeat(counts_to_offsets(n_windows)[:-1], n_windows)
    end = events.offsets[sequence] + inputs[sequence] - nth * length
    start = np.maximum(end - length, events.offsets[sequence])
    return start, end - start


def _batches(lengths: IntArray, size: int, numbers: np.random.Generator) -> list[IntArray]:
    """Deal sequences into batches at random, those of like length together within a part of the epoch."""
    order = numbers.permutation(len(lengths))
    part = np.arange(len(order)) // (size * _SORTED_TOGETHER)
    order = order[np.lexsort((lengths[order], part))]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[i] for i in numbers.permutation(len(batches))]
