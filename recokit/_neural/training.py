"""Training of small networks: early stopping, checkpoints, seeds, weights as arrays.

Weights are dicts of tensors and models are functions of them: what is saved is the same dict as numpy arrays, and
serving runs the function that training ran.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from recokit._kernels.hashing import mix
from recokit._utils.forks import prepare_forks
from recokit._utils.options import above, finite, rules, whole
from recokit._utils.params import Configured
from recokit._utils.progress import progress_bar
from recokit.errors import ConfigurationError, FitWarning
from recokit.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    import torch

Weights: TypeAlias = "dict[str, torch.Tensor]"
Arrays: TypeAlias = dict[str, AnyArray]

#: A loss that falls by less than this share, whatever the number of epochs, does not fall.
_LEAST_FALL = 1e-4
#: Epochs before which a loss may still wander.
_MIN_EPOCHS = 3

prepare_forks()


def device_of(name: str) -> torch.device:
    """Return a device by name; ConfigurationError if torch does not know it or it is not there."""
    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"found device={name!r}, which torch cannot use ({str(error).splitlines()[0]}); expected 'cpu', "
            "or a device of this machine such as 'cuda'"
        ) from error
    return device


def generator(device: torch.device, *seeds: int) -> torch.Generator:
    """Return a generator of its own for these seeds: torch's global one is left alone."""
    import torch

    state = np.zeros(1, np.uint64)
    for seed in seeds:
        state = mix(state ^ np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64))
    return torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run torch on n threads inside the ``with`` block.

    Sums are cut up by thread, so the number decides the last digits, and after a thousand steps the model.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_tensors(arrays: Mapping[str, AnyArray], device: torch.device | str = "cpu") -> Weights:
    """Return arrays as tensors; on the CPU they share memory."""
    import torch

    # torch warns about memory that it may not write to.
    return {
        name: torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)
        for name, array in arrays.items()
    }


def to_arrays(weights: Mapping[str, torch.Tensor]) -> Arrays:
    """Return copies of tensors as numpy arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in weights.items()}


def dropout(x: torch.Tensor, share: float, random: torch.Generator | None) -> torch.Tensor:
    """Set a share of the values to 0 and scale the rest up; nothing without a generator."""
    import torch

    if random is None or share == 0:
        return x
    kept = torch.rand(x.shape, generator=random, device=x.device) >= share
    return x * kept.to(x.dtype).mul_(1 / (1 - share))


class Checkpoint(Protocol):
    """Keeps the state of a training between epochs, so that another one goes on from it."""

    def load(self) -> dict[str, Any] | None:
        """Return the state of the last epoch, None before the first."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state by that of another epoch."""
        ...


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkOptions(Configured):
    """The options that all networks have: how long and how fast to train, from which seed, and how to show it."""

    _OPTIONS = rules(
        **dict.fromkeys(("n_epochs", "patience", "batch_size"), whole(1)),
        learning_rate=above(0),
        weight_decay=finite(0),
    )

    n_epochs: int = 30
    patience: int = 3
    batch_size: int = 1024
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    refit: bool = False
    random_state: int = 0
    progress: bool = False


@dataclass(frozen=True, eq=False)
class Trained:
    """Weights of the best epoch, the score of every epoch, and which was best (1-based; 0 before the first)."""

    weights: Arrays
    scores: FloatArray
    best_epoch: int


def train(
    weights: Weights,
    steps: Callable[[int], Iterator[float]],
    score: Callable[[], float] | None,
    options: NetworkOptions,
    *,
    n_epochs: int | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train epoch by epoch, keep the best weights, stop when no epoch of the last ``patience`` was better.

    Parameters
    ----------
    weights : dict of str to tensor
        Trained in place.
    steps : callable
        From the epoch (0-based): leaves the gradients of a batch in the weights and yields its loss, batch after
        batch.
    score : callable, optional
        Returns the score of the weights, higher is better. Without it all epochs are run and the last one is kept.
    options : NetworkOptions
    n_epochs : int, optional
        In place of that of the options.
    checkpoint : Checkpoint, optional
        Where the state is kept; one that holds a state is gone on from.

    Raises
    ------
    ConfigurationError
        If the loss is not finite.
    """
    import torch

    for tensor in weights.values():
        tensor.requires_grad_(True)
    # Fused: one pass over the embeddings for each step instead of ten.
    optimizer = torch.optim.AdamW(
        list(weights.values()), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    best, scores, best_epoch = to_arrays(weights), list[float](), 0
    state = None if checkpoint is None else checkpoint.load()
    if state is not None:
        _restore(state, weights, optimizer)
        best, scores, best_epoch = state["best"], list(state["scores"]), int(state["best_epoch"])
    losses: list[float] = []
    epochs = range(len(scores), options.n_epochs if n_epochs is None else n_epochs)
    for epoch in progress_bar(epochs, show=options.progress, label=type(options).__name__):
        if score is not None and epoch - best_epoch >= options.patience:
            break
        total, n_steps = 0.0, 0
        for loss in steps(epoch):
            if not np.isfinite(loss):
                raise ConfigurationError(
                    f"found a loss of {loss} in epoch {epoch + 1}; expected a finite one; "
                    f"hint: a learning_rate below {options.learning_rate}"
                )
            optimizer.step()
            optimizer.zero_grad()
            total, n_steps = total + loss, n_steps + 1
        losses.append(total / max(n_steps, 1))
        scores.append(float("nan") if score is None else score())
        if score is None or best_epoch == 0 or scores[-1] > scores[best_epoch - 1]:
            best, best_epoch = to_arrays(weights), epoch + 1
        if checkpoint is not None:
            state = _state_of(weights, optimizer)
            checkpoint.save({**state, "best": best, "scores": scores, "best_epoch": best_epoch})
    _warn_if_level(losses, options)
    return Trained(best, np.array(scores, np.float64), best_epoch)


def _warn_if_level(losses: list[float], options: NetworkOptions) -> None:
    """Warn if no epoch's mean loss was below that of the first."""
    if len(losses) >= _MIN_EPOCHS and min(losses[1:]) >= losses[0] * (1 - _LEAST_FALL):
        warnings.warn(
            f"found a loss of {losses[0]:.4g} in the first epoch of {type(options).__name__} and of "
            f"{min(losses[1:]):.4g} in the best of {len(losses) - 1} others; expected it to fall; "
            f"hint: another learning_rate than {options.learning_rate:g}",
            FitWarning,
            stacklevel=3,
        )


def _state_of(weights: Weights, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    moments = {
        f"{name}/{part}": value
        for name, tensor in weights.items()
        for part, value in optimizer.state[tensor].items()
    }
    return {"weights": to_arrays(weights), "moments": to_arrays(moments)}


def _restore(state: Mapping[str, Any], weights: Weights, optimizer: torch.optim.Optimizer) -> None:
    import torch

    with torch.no_grad():
        for name, tensor in to_tensors(state["weights"]).items():
            weights[name].copy_(tensor)
    for key, value in to_tensors(state["moments"]).items():
        name, _, part = key.rpartition("/")
        tensor = weights[name]
        # The step counter of the fused kernel lives beside its tensor too.
        optimizer.state[tensor][part] = value.clone().to(tensor.device)
