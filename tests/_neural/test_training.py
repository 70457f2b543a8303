"""Training of small networks: when it stops, what it keeps, and that it goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from recokit._neural.training import (
    NetworkOptions,
    device_of,
    dropout,
    generator,
    threads,
    to_arrays,
    to_tensors,
    train,
)
from recokit.errors import ConfigurationError


def options(n_epochs: int = 8, patience: int = 3, learning_rate: float = 0.1) -> NetworkOptions:
    return NetworkOptions(n_epochs=n_epochs, patience=patience, learning_rate=learning_rate)


class Line:
    """A weight that each epoch draws towards 1 in two steps; its score follows a script."""

    def __init__(self, scores: list[float]) -> None:
        self.weights = {"w": torch.zeros(1)}
        self.scores, self.epochs = iter(scores), list[int]()

    def steps(self, epoch: int) -> Iterator[float]:
        self.epochs.append(epoch)
        for _ in range(2):
            loss = ((self.weights["w"] - 1) ** 2).sum()
            loss.backward()
            yield float(loss.detach())

    def score(self) -> float:
        return next(self.scores)


class Memory:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def load(self) -> dict[str, Any] | None:
        return self.states[-1] if self.states else None

    def save(self, state: dict[str, Any]) -> None:
        self.states.append({**state, "scores": list(state["scores"])})


def test_the_best_epoch_is_kept_and_patience_counts_from_it() -> None:
    line, memory = Line([1, 5, 5, 4, 2, 9]), Memory()
    trained = train(line.weights, line.steps, line.score, options(), checkpoint=memory)
    assert line.epochs == [
        0,
        1,
        2,
        3,
        4,
    ]  # three epochs after the second were no better; as good is not better
    assert (trained.best_epoch, trained.scores.tolist()) == (2, [1, 5, 5, 4, 2])
    assert trained.weights["w"] == memory.states[1]["weights"]["w"] != memory.states[4]["weights"]["w"]


def test_without_a_score_all_epochs_run_and_the_last_is_kept() -> None:
    line = Line([])
    trained = train(line.weights, line.steps, None, options(n_epochs=5, patience=1))
    assert trained.best_epoch == 5 and np.isnan(trained.scores).tolist() == [True] * 5
    assert trained.weights["w"] == line.weights["w"].detach().numpy()
    # AdamW moves by about the learning rate at each of the ten steps.
    assert trained.weights["w"][0] == pytest.approx(0.9, abs=0.1)


def test_the_first_score_is_best_whatever_it_is() -> None:
    line = Line([-7.0, -8.0])
    trained = train(line.weights, line.steps, line.score, options(n_epochs=2))
    assert trained.best_epoch == 1


def test_no_epoch_leaves_the_weights() -> None:
    line = Line([])
    trained = train(line.weights, line.steps, line.score, options(), n_epochs=0)
    assert (trained.best_epoch, trained.weights["w"].tolist()) == (0, [0.0])


def test_an_interrupted_training_ends_as_one_that_was_not() -> None:
    script = [1.0, 3.0, 2.0, 4.0, 1.0]
    whole, memory = Line(script), Memory()
    straight = train(whole.weights, whole.steps, whole.score, options(n_epochs=5))
    first, second = Line(script), Line(script[2:])
    train(first.weights, first.steps, first.score, options(n_epochs=2), checkpoint=memory)
    resumed = train(second.weights, second.steps, second.score, options(n_epochs=5), checkpoint=memory)
    assert second.epochs == [2, 3, 4]
    assert resumed.weights["w"] == straight.weights["w"]
    assert (resumed.best_epoch, resumed.scores.tolist()) == (straight.best_epoch, script)


def test_a_loss_that_is_not_finite_names_the_epoch() -> None:
    weights = {"w": torch.zeros(1)}
    with pytest.raises(ConfigurationError, match=r"loss of nan in epoch 1.*below 0.1"):
        train(weights, lambda epoch: iter([float("nan")]), None, options())


def test_dropout_keeps_the_mean_and_is_nothing_without_a_generator() -> None:
    x = torch.ones(20_000)
    random = generator(device_of("cpu"), 3)
    thin = dropout(x, 0.25, random)
    assert thin.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((thin == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert dropout(x, 0.25, None) is x and dropout(x, 0.0, random) is x


def test_each_seed_draws_its_own_numbers() -> None:
    device = device_of("cpu")
    seeds = [(0,), (1,), (-1,), (0, 0), (0, 1), (1, 0)]
    draws = [torch.rand(4, generator=generator(device, *seed)).tolist() for seed in seeds]
    assert len({tuple(draw) for draw in draws}) == len(seeds)
    assert draws[4] == torch.rand(4, generator=generator(device, 0, 1)).tolist()


def test_threads_are_given_back_after_an_error() -> None:
    before = torch.get_num_threads()
    inside = []

    def fail() -> None:
        with threads(before + 2):
            inside.append(torch.get_num_threads())
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert (inside, torch.get_num_threads()) == ([before + 2], before)


def test_arrays_are_copies_of_tensors_which_share_the_memory_of_arrays() -> None:
    array = np.zeros(2, np.float32)
    tensors = to_tensors({"a": array})
    arrays = to_arrays(tensors)
    tensors["a"][0] = 5
    assert array.tolist() == [5.0, 0.0] and arrays["a"].tolist() == [0.0, 0.0]
    array.flags.writeable = False
    to_tensors({"a": array})["a"][1] = 9
    assert array.tolist() == [5.0, 0.0]


def test_a_device_that_torch_lacks() -> None:
    with pytest.raises(ConfigurationError, match="device='abacus'"):
        device_of("abacus")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("n_epochs", 1, 0),
        ("patience", 1, 0),
        ("batch_size", 1, 0.5),
        ("learning_rate", 1e-9, 0.0),
        ("weight_decay", 0.0, -1e-9),
    ],
)
def test_rules_of_the_options(name: str, good: Any, bad: Any) -> None:
    assert getattr(NetworkOptions(**{name: good}), name) == good
    with pytest.raises(ConfigurationError, match=f"found {name}="):
        NetworkOptions(**{name: bad})
