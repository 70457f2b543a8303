"""TwoTower: a vector for the request, a vector for each item, and the items nearest to the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recokit._neural.training import Arrays, check_count, check_training, to_tensors
from recokit._utils.params import Configured, require_fitted
from recokit.candidates._dense import retrieve_nearest
from recokit.candidates._shared import Duration, check_duration
from recokit.candidates.neural import _towers
from recokit.candidates.neural._sequences import history_weight, recent
from recokit.candidates.neural._towers import CONTEXT
from recokit.candidates.neural._two_tower_training import fit_towers
from recokit.data import Dataset, Requests, Retrieved, Table
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import Float32Array

if TYPE_CHECKING:
    pass

__all__ = ["TwoTower"]


class TwoTower(Configured):
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
        The cosine of two vectors is divided by it. Smaller tells close items apart better, and learns noise sooner.
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

    def __init__(
        self,
        n_factors: int = 64,
        *,
        user_features: Sequence[str] = (),
        item_features: Sequence[str] = (),
        context: Sequence[str] = (),
        hidden: Sequence[int] = (128,),
        temperature: float = 0.1,
        max_history: int = 50,
        half_life: Duration | None = None,
        uniform_negatives: int = 512,
        hard_negatives: int = 0,
        id_dropout: float = 0.1,
        n_epochs: int = 30,
        patience: int = 3,
        batch_size: int = 1024,
        learning_rate: float = 0.001,
        weight_decay: float = 0.0,
        validation: str | None = "time",
        validation_share: float = 0.1,
        refit: bool = False,
        checkpoint: str | None = None,
        random_state: int = 0,
        device: str = "cpu",
        n_threads: int = 2,
        progress: bool = False,
    ) -> None:
        for name, value in {"n_factors": n_factors, "max_history": max_history}.items():
            check_count(name, value)
        for name, value in {"uniform_negatives": uniform_negatives, "hard_negatives": hard_negatives}.items():
            check_count(name, value, least=0)
        for name, names in {
            "user_features": user_features,
            "item_features": item_features,
            "context": context,
        }.items():
            if isinstance(names, str):
                raise ConfigurationError(f"found {name}={names!r}; expected a sequence, such as [{names!r}]")
        for name in context:
            if name not in CONTEXT:
                raise ConfigurationError(f"found no context {name!r}; {did_you_mean(name, CONTEXT)}")
        for width in hidden:
            check_count("a width in hidden", width)
        if not 0 < temperature < np.inf:
            raise ConfigurationError(f"found temperature={temperature}; expected a finite number above 0")
        if not 0 <= id_dropout < 1:
            raise ConfigurationError(f"found id_dropout={id_dropout}; expected at least 0 and below 1")
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
        self.n_factors, self.user_features, self.item_features = n_factors, user_features, item_features
        self.context, self.hidden, self.temperature = context, hidden, temperature
        self.max_history, self.half_life = max_history, half_life
        self.uniform_negatives, self.hard_negatives = uniform_negatives, hard_negatives
        self.id_dropout, self.n_epochs, self.patience, self.batch_size = (
            id_dropout,
            n_epochs,
            patience,
            batch_size,
        )
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.validation, self.validation_share, self.refit = validation, validation_share, refit
        self.checkpoint, self.random_state = checkpoint, random_state
        self.device, self.n_threads, self.progress = device, n_threads, progress

    @property
    def requires(self) -> tuple[str, ...]:
        """The history and the columns."""
        users = (f"user.{name.removeprefix('user.')}" for name in self.user_features)
        items = (f"item.{name.removeprefix('item.')}" for name in self.item_features)
        return ("history", *users, *items)

    @property
    def vectors_(self) -> Float32Array:
        """The item vectors, under the name that other sources have for theirs."""
        require_fitted(self, "item_vectors_")
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
        found = fit_towers(self, dataset)
        self.users_, self.items_, self.usable_ = found.users, found.items, found.usable
        self.weights_: Arrays = found.trained.weights
        self.scores_, self.best_epoch_ = found.scores, found.trained.best_epoch
        self.base_, self.item_vectors_ = found.base, found.vectors
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` nearest items of each row that has a vector.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        queries = self.encode(requests)
        known = np.asarray(queries.any(axis=1))
        return retrieve_nearest(requests, limit, queries, self.item_vectors_, known, self.usable_)

    def encode(self, requests: Requests) -> Float32Array:
        """Return the vector of each row, (B, n_factors) float32; all zeros for a row that nothing is known of.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        import torch

        require_fitted(self, "item_vectors_")
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
            found = _towers.user_vectors(weights, mean, self.users_, user, context)
            vectors: Float32Array = found.numpy()
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

        require_fitted(self, "item_vectors_")
        if not self.item_features:
            raise ConfigurationError("found no item_features; expected columns that tell items apart")
        columns = self.items_.read(items)
        with torch.inference_mode():
            weights = to_tensors(self.weights_)
            base = _towers.item_base(weights, columns, np.arange(items.n + 1), torch.zeros(items.n + 1))
            vectors: Float32Array = _towers.item_vectors(weights, base).numpy()
        return vectors
