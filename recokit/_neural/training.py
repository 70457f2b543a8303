"""What the neural sources and rankers share: training with early stopping and checkpoints, seeds, weights as arrays.

Weights are dicts of tensors and models are functions of them: what is saved is the same dict as numpy arrays, and
serving runs the function that training ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from recokit._kernels.hashing import mix
from recokit._utils.params import get_params
from recokit._utils.progress import progress_bar
from recokit.data import Dataset
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    import torch

__all__ = [
    "Arrays",
    "Trained",
    "Training",
    "Weights",
    "check_count",
    "check_training",
    "device_of",
    "dropout",
    "fingerprint",
    "generator",
    "threads",
    "to_arrays",
    "to_tensors",
    "train",
]

Weights: TypeAlias = "dict[str, torch.Tensor]"
Arrays: TypeAlias = dict[str, AnyArray]


def check_training(
    *,
    n_epochs: int,
    patience: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    validation: str | None,
    validation_share: float,
    n_threads: int,
) -> None:
    """Check the options of training; ConfigurationError for the first that is out of range."""
    counts = {"n_epochs": n_epochs, "patience": patience, "batch_size": batch_size, "n_threads": n_threads}
    for name, value in counts.items():
        check_count(name, value)
    if not 0 < learning_rate < np.inf:
        raise ConfigurationError(f"found learning_rate={learning_rate}; expected a finite number above 0")
    if not 0 <= weight_decay < np.inf:
        raise ConfigurationError(f"found weight_decay={weight_decay}; expected a finite number of at least 0")
    if validation not in (None, "last", "time"):
        raise ConfigurationError(f"found validation={validation!r}; expected 'last', 'time' or None")
    if not 0 < validation_share <= 1 or (validation == "time" and validation_share == 1):
        raise ConfigurationError(
            f"found validation_share={validation_share}; expected a share above 0 and below 1, or 1 with 'last'"
        )


def check_count(name: str, value: int, least: int = 1) -> None:
    """Check an option that is a number of things."""
    if value < least:
        raise ConfigurationError(f"found {name}={value}; expected at least {least}")


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


@dataclass(frozen=True)
class Training:
    """How long, how fast, and where to keep the state between epochs."""

    n_epochs: int
    patience: int
    learning_rate: float
    weight_decay: float
    checkpoint: str | None
    progress: bool
    label: str


@dataclass(frozen=True, eq=False)
class Trained:
    """Weights of the best epoch, the score of every epoch, and which was best (1-based; 0 before the first)."""

    weights: Arrays
    scores: FloatArray
    best_epoch: int


def train(
    weights: Weights,
    steps: Callable[[int], Iterator[float]],
    judge: Callable[[], float] | None,
    training: Training,
    fingerprint: Mapping[str, Any],
) -> Trained:
    """Train epoch by epoch, keep the best weights, stop when no epoch of the last ``patience`` was better.

    Parameters
    ----------
    weights : dict of str to tensor
        Trained in place.
    steps : callable
        Given the epoch (0-based), leaves the gradients of a batch in the weights and yields its loss, batch after
        batch.
    judge : callable, optional
        Returns the score of the weights, higher is better. Without it all epochs are run and the last one is kept.
    training : Training
    fingerprint : mapping of str to JSON
        What a checkpoint must agree with to be resumed.

    Raises
    ------
    ConfigurationError
        If the checkpoint is of other options or data, or the loss is not finite.
    """
    import torch

    for tensor in weights.values():
        tensor.requires_grad_(True)
    # Fused: one pass over the embeddings for each step instead of ten.
    optimizer = torch.optim.AdamW(
        list(weights.values()), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    best, scores, best_epoch = to_arrays(weights), list[float](), 0
    if training.checkpoint is not None and Path(training.checkpoint, "manifest.json").exists():
        best, scores, best_epoch = _resume(training.checkpoint, fingerprint, weights, optimizer)
    epochs = range(len(scores), training.n_epochs)
    for epoch in progress_bar(epochs, show=training.progress, label=training.label):
        if judge is not None and epoch - best_epoch >= training.patience:
            break
        for loss in steps(epoch):
            if not np.isfinite(loss):
                raise ConfigurationError(
                    f"found a loss of {loss} in epoch {epoch + 1}; expected a finite one; "
                    f"hint: a learning_rate below {training.learning_rate}"
                )
            optimizer.step()
            optimizer.zero_grad()
        scores.append(float("nan") if judge is None else judge())
        if judge is None or best_epoch == 0 or scores[-1] > scores[best_epoch - 1]:
            best, best_epoch = to_arrays(weights), epoch + 1
        if training.checkpoint is not None:
            _save(training.checkpoint, fingerprint, weights, optimizer, (best, scores, best_epoch))
    return Trained(best, np.array(scores, np.float64), best_epoch)


def _save(
    path: str,
    fingerprint: Mapping[str, Any],
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    found: tuple[Arrays, list[float], int],
) -> None:
    moments = {
        f"{name}/{part}": value
        for name, tensor in weights.items()
        for part, value in optimizer.state[tensor].items()
    }
    best, scores, best_epoch = found
    state = {
        "weights": to_arrays(weights),
        "moments": to_arrays(moments),
        "best": best,
        "scores": scores,
        "best_epoch": best_epoch,
    }
    save_state(path, state, extra={"fingerprint": dict(fingerprint)})


def _resume(
    path: str, fingerprint: Mapping[str, Any], weights: Weights, optimizer: torch.optim.Optimizer
) -> tuple[Arrays, list[float], int]:
    import torch

    state, extra = load_state(path)
    found = extra.get("fingerprint", {})
    other = sorted(name for name in {*fingerprint, *found} if fingerprint.get(name) != found.get(name))
    if other:
        raise ConfigurationError(
            f"found a checkpoint at {path} of another {', '.join(other)}; expected one of this model and data; "
            "hint: give checkpoint a new folder"
        )
    with torch.no_grad():
        for name, tensor in to_tensors(state["weights"]).items():
            weights[name].copy_(tensor)
    for key, value in to_tensors(state["moments"]).items():
        name, _, part = key.rpartition("/")
        tensor = weights[name]
        # The step counter of the fused kernel lives beside its tensor too.
        optimizer.state[tensor][part] = value.clone().to(tensor.device)
    return state["best"], list(state["scores"]), int(state["best_epoch"])


#: Options that do not decide what is learned from the data in an epoch.
_FREE = ("n_epochs", "patience", "checkpoint", "refit", "progress", "n_threads", "device")


def fingerprint(model: Any, dataset: Dataset) -> dict[str, Any]:
    """Return what a checkpoint must agree with: the options that matter, and the data."""
    log = dataset.interactions
    digest = hashlib.sha256()
    for column in (log.user, log.item, log.weight, log.timestamp):
        digest.update(np.ascontiguousarray(column).tobytes())
    options = {name: repr(value) for name, value in get_params(model).items() if name not in _FREE}
    return {**options, "data": f"{dataset.n_users} x {dataset.n_items}, sha256 {digest.hexdigest()}"}
