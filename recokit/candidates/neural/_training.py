"""Training of a source's network: what is held out to stop it, the refit on everything, and checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from recokit._neural.training import Arrays, NetworkOptions, Trained, Weights, device_of, threads, train
from recokit._utils.options import between, one_of, optional, rules, whole
from recokit._utils.params import get_params
from recokit.candidates.neural._sequences import Held, Sequences, hold_out
from recokit.compose.alone.sources import AloneSource
from recokit.data import Dataset
from recokit.data.state.folder import load_state, save_state
from recokit.data.state.outside import Outside
from recokit.data.times import Duration, duration
from recokit.errors import ConfigurationError
from recokit.typing import FloatArray

if TYPE_CHECKING:
    import torch


#: Options that do not decide what is learned from the data in an epoch.
_FREE = ("n_epochs", "patience", "checkpoint", "refit", "progress", "n_threads", "device")


class Run(Protocol):
    """One training: its weights, and how they change and are scored."""

    weights: Weights

    @property
    def n_examples(self) -> int:
        """How much there is to learn from."""
        ...

    def steps(self, epoch: int) -> Iterator[float]:
        """Leave the gradients of a batch in the weights and yield its loss, batch after batch."""
        ...

    def score(self, held: Held) -> float:
        """Return how well the held-out items are found."""
        ...


R = TypeVar("R", bound=Run)


@dataclass(kw_only=True, eq=False, repr=False)
class SourceOptions(NetworkOptions):
    """The options of every source that learns a network."""

    _OPTIONS = rules(
        n_factors=whole(1),
        max_history=whole(1),
        half_life=optional(duration),
        validation=optional(one_of("last", "time")),
        validation_share=between(0, 1, open_low=True),
        n_threads=whole(1),
    )

    n_factors: int = 64
    max_history: int = 50
    half_life: Duration | None = None
    validation: Literal["last", "time"] | None = "time"
    validation_share: float = 0.1
    checkpoint: str | None = None
    device: str = "cpu"
    n_threads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation == "time" and self.validation_share == 1:
            raise ConfigurationError(
                "found validation_share=1 with validation='time'; expected a share above 0 and below 1"
            )


class NetworkSource(Outside, SourceOptions, AloneSource):
    """Source that learns a network, until held-out events say to stop. Abstract."""

    places = ("checkpoint",)

    weights_: Arrays
    scores_: FloatArray
    best_epoch_: int
    fitted_until_: float

    def _learn(self, dataset: Dataset, events: Sequences, start: Callable[[Sequences, torch.device], R]) -> R:
        """Train on the events that are not held out, then once more on all of them where ``refit`` says so.

        Returns
        -------
        The last training, begun by ``start`` from its events and the device.
        """
        device = device_of(self.device)
        part, held = hold_out(events, self.validation, self.validation_share, self.random_state)
        checkpoint = (
            None if self.checkpoint is None else _Folder(self.checkpoint, _fingerprint(self, dataset))
        )
        with threads(self.n_threads):
            run = start(part, device)
            trained = self._trained(run, held, self.n_epochs, checkpoint)
            self.scores_ = trained.scores
            if self.refit and held is not None:
                run = start(events, device)
                trained = self._trained(run, None, trained.best_epoch, None)
        self.weights_, self.best_epoch_ = trained.weights, trained.best_epoch
        self.fitted_until_ = dataset.until
        return run

    def _trained(self, run: Run, held: Held | None, n_epochs: int, checkpoint: _Folder | None) -> Trained:
        if not run.n_examples:
            n_epochs, held, checkpoint = 0, None, None
        score = None if held is None else lambda: run.score(held)
        return train(run.weights, run.steps, score, self, n_epochs=n_epochs, checkpoint=checkpoint)


class _Folder:
    """A folder that keeps the state of a training, of one model and one data set."""

    def __init__(self, path: str, fingerprint: Mapping[str, Any]) -> None:
        self.path, self.fingerprint = path, fingerprint

    def load(self) -> dict[str, Any] | None:
        """Return the state of the last epoch, None before the first.

        Raises
        ------
        ConfigurationError
            If it is that of other options or data.
        """
        if not Path(self.path, "manifest.json").exists():
            return None
        state, extra = load_state(self.path)
        saved = extra.get("fingerprint", {})
        names = {*self.fingerprint, *saved}
        other = sorted(name for name in names if self.fingerprint.get(name) != saved.get(name))
        if other:
            raise ConfigurationError(
                f"found a checkpoint at {self.path} of another {', '.join(other)}; expected one of this model and "
                "data; hint: give checkpoint a new folder"
            )
        loaded: dict[str, Any] = state
        return loaded

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state by that of another epoch."""
        save_state(self.path, state, extra={"fingerprint": dict(self.fingerprint)})


def _fingerprint(model: Any, dataset: Dataset) -> dict[str, Any]:
    """Return what a checkpoint must agree with: the options that matter, and the data."""
    log = dataset.interactions
    digest = hashlib.sha256()
    for column in (log.user, log.item, log.weight, log.timestamp):
        digest.update(np.ascontiguousarray(column).tobytes())
    options = {name: repr(value) for name, value in get_params(model).items() if name not in _FREE}
    return {**options, "data": f"{dataset.n_users} x {dataset.n_items}, sha256 {digest.hexdigest()}"}
