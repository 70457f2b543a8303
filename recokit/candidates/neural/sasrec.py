"""SASRec: what comes next, by a transformer over the history in its order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recokit._kernels.segments import counts_to_offsets, multi_arange
from recokit._neural.training import (
    Arrays,
    Trained,
    Training,
    Weights,
    check_count,
    check_training,
    device_of,
    fingerprint,
    generator,
    threads,
    to_tensors,
    train,
)
from recokit._utils.params import Configured, require_fitted
from recokit.candidates._dense import retrieve_nearest
from recokit.candidates._shared import Duration, check_duration
from recokit.candidates.neural import _transformer
from recokit.candidates.neural._sequences import Held, Sequences, hold_out, ndcg, padded, recent, sequences
from recokit.data import Dataset, Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.typing import Float32Array, IntArray

if TYPE_CHECKING:
    import torch

__all__ = ["SASRec"]

#: Rows encoded at once while serving.
_ROWS = 256
#: Batches whose sequences are sorted by length together: little padding, and still mixed batches.
_SORTED_TOGETHER = 16


class SASRec(Configured):
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

    requires = ("history",)

    def __init__(
        self,
        n_factors: int = 64,
        *,
        n_blocks: int = 2,
        n_heads: int = 2,
        max_history: int = 50,
        dropout: float = 0.2,
        loss: Literal["softmax", "sampled"] = "softmax",
        n_negatives: int = 1024,
        half_life: Duration | None = None,
        n_epochs: int = 100,
        patience: int = 5,
        batch_size: int = 128,
        learning_rate: float = 0.001,
        weight_decay: float = 0.0,
        validation: Literal["last", "time"] | None = "last",
        validation_share: float = 0.1,
        refit: bool = False,
        checkpoint: str | None = None,
        random_state: int = 0,
        device: str = "cpu",
        n_threads: int = 2,
        progress: bool = False,
    ) -> None:
        counts = {
            "n_factors": n_factors,
            "n_blocks": n_blocks,
            "n_heads": n_heads,
            "max_history": max_history,
            "n_negatives": n_negatives,
        }
        for name, value in counts.items():
            check_count(name, value)
        if n_factors % n_heads:
            raise ConfigurationError(
                f"found n_factors={n_factors} and n_heads={n_heads}; expected a multiple of n_heads"
            )
        if not 0 <= dropout < 1:
            raise ConfigurationError(f"found dropout={dropout}; expected at least 0 and below 1")
        if loss not in ("softmax", "sampled"):
            raise ConfigurationError(f"found loss={loss!r}; expected 'softmax' or 'sampled'")
        check_duration("half_life", half_life)
        check_training(
            n_epochs=n_epochs,
            patience=patience,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            validation=validation,
            validation_share=validation_share,
            n_threads=n_threads,
        )
        self.n_factors, self.n_blocks, self.n_heads, self.max_history = (
            n_factors,
            n_blocks,
            n_heads,
            max_history,
        )
        self.dropout, self.loss, self.n_negatives, self.half_life = dropout, loss, n_negatives, half_life
        self.n_epochs, self.patience, self.batch_size = n_epochs, patience, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.validation, self.validation_share, self.refit = validation, validation_share, refit
        self.checkpoint, self.random_state = checkpoint, random_state
        self.device, self.n_threads, self.progress = device, n_threads, progress

    @property
    def vectors_(self) -> Float32Array:
        """Item vectors by code, (n_items + 1, D) float32: with :meth:`encode`, what an AnnIndex needs."""
        require_fitted(self, "weights_")
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
        device = device_of(self.device)
        events = sequences(dataset, self.half_life)
        part, held = hold_out(events, self.validation, self.validation_share, self.random_state)
        print_of = fingerprint(self, dataset)
        with threads(self.n_threads):
            found = self._train(part, held, dataset.n_items + 1, device, self.n_epochs, print_of)
            scores = found.scores
            if self.refit and held is not None:
                part = events
                found = self._train(part, None, dataset.n_items + 1, device, found.best_epoch, None)
        self.weights_: Arrays = found.weights
        self.scores_, self.best_epoch_ = scores, found.best_epoch
        self.trained_ = np.bincount(part.item, minlength=dataset.n_items + 1) > 0
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` best items of each row with a history.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        queries = self.encode(requests)
        known = np.asarray(queries.any(axis=1))
        return retrieve_nearest(requests, limit, queries, self.vectors_, known, self.trained_)

    def encode(self, requests: Requests) -> Float32Array:
        """Return the vector of each row, (B, n_factors) float32; all zeros without history.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        import torch

        require_fitted(self, "weights_")
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
                found = _transformer.encode(weights, torch.from_numpy(items), self.n_heads)
                vectors[here] = found[torch.arange(len(here)), torch.from_numpy(counts - 1)].numpy()
        return vectors

    def _train(
        self,
        part: Sequences,
        held: Held | None,
        n_codes: int,
        device: torch.device,
        n_epochs: int,
        print_of: dict[str, Any] | None,
    ) -> Trained:
        import torch

        random = generator(device, self.random_state)
        weights = _transformer.initial(n_codes, self.n_factors, self.n_blocks, self.max_history, random)
        windows = _windows(part, self.max_history)
        if not len(windows[0]):
            n_epochs, held, print_of = 0, None, None
        unseen = torch.from_numpy(np.flatnonzero(np.bincount(part.item, minlength=n_codes) == 0)).to(device)
        training = Training(
            n_epochs,
            self.patience,
            self.learning_rate,
            self.weight_decay,
            self.checkpoint if print_of is not None else None,
            self.progress,
            "SASRec",
        )

        def judge() -> float:
            assert held is not None

            def encode(rows: IntArray) -> torch.Tensor:
                return self._last(weights, held, rows, device)

            return ndcg(held, encode, weights["item"], unseen)

        return train(
            weights,
            lambda epoch: self._steps(weights, part, windows, device, epoch),
            None if held is None else judge,
            training,
            print_of or {},
        )

    def _last(self, weights: Weights, held: Held, rows: IntArray, device: torch.device) -> torch.Tensor:
        import torch

        history = held.history.take(rows)
        short = np.minimum(history.counts, self.max_history)
        items = history.values[multi_arange(history.offsets[1:] - short, short)]
        block, counts = padded(type(history)(counts_to_offsets(short), items))
        found = _transformer.encode(weights, torch.from_numpy(block).to(device), self.n_heads)
        return found[torch.arange(len(rows)), torch.from_numpy(counts - 1)]

    def _steps(
        self,
        weights: Weights,
        part: Sequences,
        windows: tuple[IntArray, IntArray],
        device: torch.device,
        epoch: int,
    ) -> Iterator[float]:
        import torch

        starts, lengths = windows
        numbers = np.random.default_rng([self.random_state & 0xFFFFFFFF, epoch])
        random = generator(device, self.random_state, epoch + 1)
        popularity = np.bincount(part.item, minlength=len(weights["item"])).astype(np.float64)
        popularity /= popularity.sum()
        until = np.cumsum(popularity)
        for batch in _batches(lengths, self.batch_size, numbers):
            index = multi_arange(starts[batch], lengths[batch])
            block = np.zeros((len(batch), int(lengths[batch].max())), np.int64)
            real = np.arange(block.shape[1]) < lengths[batch][:, None]
            block[real] = part.item[index]
            states = _transformer.encode(
                weights, torch.from_numpy(block).to(device), self.n_heads, self.dropout, random
            )
            vectors = states[torch.from_numpy(real).to(device)]
            target = torch.from_numpy(part.item[index + 1]).to(device)
            weight = torch.from_numpy(part.weight[index + 1]).to(device)
            if self.loss == "softmax":
                yield _transformer.full_softmax(vectors, weights["item"], target, weight)
                continue
            drawn = np.searchsorted(until, numbers.random(self.n_negatives) * until[-1], side="right")
            expected = np.log(self.n_negatives * popularity[drawn]).astype(np.float32)
            yield _transformer.sampled_softmax(
                vectors,
                weights["item"],
                target,
                weight,
                torch.from_numpy(drawn).to(device),
                torch.from_numpy(expected).to(device),
            )


def _windows(part: Sequences, most: int) -> tuple[IntArray, IntArray]:
    """Cut sequences into pieces of at most ``most`` events that have a next one: where each starts, and how long it is.

    Cut from the end, so that the piece that is shorter is the oldest.
    """
    inputs = np.maximum(np.diff(part.offsets) - 1, 0)
    pieces = -(-inputs // most)
    sequence = np.repeat(np.arange(len(inputs)), pieces)
    nth = np.arange(len(sequence)) - np.repeat(counts_to_offsets(pieces)[:-1], pieces)
    end = part.offsets[sequence] + inputs[sequence] - nth * most
    start = np.maximum(end - most, part.offsets[sequence])
    return start, end - start


def _batches(lengths: IntArray, size: int, numbers: np.random.Generator) -> list[IntArray]:
    """Deal sequences into batches at random, those of like length together within a part of the epoch."""
    order = numbers.permutation(len(lengths))
    part = np.arange(len(order)) // (size * _SORTED_TOGETHER)
    order = order[np.lexsort((lengths[order], part))]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[i] for i in numbers.permutation(len(batches))]
