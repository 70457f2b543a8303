"""Rankers made of a network: inputs, training with early stopping, and scores without torch.

A network is one function of its weights, written for numpy arrays and tensors alike: training runs it on tensors,
serving on the same weights as plain arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np

from recokit._neural.training import (
    Arrays,
    NetworkOptions,
    Trained,
    Weights,
    dropout,
    generator,
    threads,
    train,
)
from recokit._utils.options import Rule, between, one_of, rules, whole
from recokit._utils.threads import limited_threads
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError
from recokit.rankers._embeddings import EMBEDDINGS, EmbeddingIndex
from recokit.rankers._inputs import (
    FEATURES,
    NamedFeatures,
    all_rows,
    positions_of,
    sigmoid,
)
from recokit.rankers._losses import (
    LOSSES,
    Groups,
    can_learn,
    groups_of,
    loss_around,
    mean_ndcg,
    rows_of,
)
from recokit.rankers._scaling import Transform, sometimes_missing
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    import torch


def _are_widths(hidden: Sequence[int]) -> bool:
    return all(whole(1).holds(width) for width in hidden)


#: Inputs are cut off at so many deviations: values farther out than training ever saw must not rule a score.
LIMIT = 8.0
#: Rows that a validation score is computed for at a time.
_CHUNK = 8192
#: Multiplications up to which OpenBLAS stays on one thread.
_PRODUCT = 2**18


class Math(Protocol):
    """Operations that numpy arrays and tensors have under different names."""

    def relu(self, x: Any) -> Any:
        """Return x, 0 where it is negative."""
        ...

    def concatenate(self, parts: list[Any]) -> Any:
        """Return blocks side by side."""
        ...

    def lookup(self, table: Any, rows: Any) -> Any:
        """Return rows of a table."""
        ...

    def thin(self, x: Any) -> Any:
        """Return x after dropout."""
        ...


class Numpy:
    """Math of arrays."""

    def relu(self, x: Any) -> Any:
        """Return x, 0 where it is negative."""
        return np.maximum(x, 0.0, out=x)

    def concatenate(self, parts: list[Any]) -> Any:
        """Return blocks side by side."""
        return np.concatenate(parts, axis=-1)

    def lookup(self, table: Any, rows: Any) -> Any:
        """Return rows of a table."""
        return table[rows]

    def thin(self, x: Any) -> Any:
        """Return x after dropout."""
        return x


class Torch:
    """Math of tensors; no dropout without a generator."""

    def __init__(self, share: float = 0.0, random: torch.Generator | None = None) -> None:
        self.share, self.random = share, random

    def relu(self, x: Any) -> Any:
        """Return x, 0 where it is negative."""
        return x.relu()

    def concatenate(self, parts: list[Any]) -> Any:
        """Return blocks side by side."""
        import torch

        return torch.cat(parts, dim=-1)

    def lookup(self, table: Any, rows: Any) -> Any:
        """Return rows of a table."""
        import torch

        return torch.nn.functional.embedding(rows, table)

    def thin(self, x: Any) -> Any:
        """Return x after dropout."""
        return dropout(x, self.share, self.random)


def layers(widths: Sequence[int], random: torch.Generator, prefix: str = "") -> Weights:
    """Return the first weights of fully connected layers between the given widths (He et al., 2015)."""
    import torch

    weights: Weights = {}
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        weights[f"{prefix}w{i}"] = torch.randn(n_in, n_out, generator=random) * (2.0 / n_in) ** 0.5
        weights[f"{prefix}b{i}"] = torch.zeros(n_out)
    return weights


def run_layers(x: Any, weights: Mapping[str, Any], n_layers: int, math: Math) -> Any:
    """Return x after fully connected layers, each with a rectifier and dropout behind it."""
    for i in range(n_layers):
        x = math.thin(math.relu(x @ weights[f"w{i}"] + weights[f"b{i}"]))
    return x


@dataclass(frozen=True, eq=False)
class _Rows:
    """Inputs and labels of the rows learned from."""

    inputs: Float32Array
    codes: tuple[IntArray, ...]
    groups: Groups


@dataclass(kw_only=True, eq=False, repr=False)
class RankerOptions(NetworkOptions):
    """The options of every ranker made of a network."""

    _OPTIONS = rules(
        hidden=Rule("widths of at least 1, such as (64, 32)", _are_widths),
        loss=one_of("log", *LOSSES),
        embeddings=EMBEDDINGS,
        min_rows=whole(1),
        dropout=between(0, 1, open_high=True),
        features=FEATURES,
    )

    hidden: Sequence[int] = (64, 32)
    loss: Literal["log", "softmax", "bpr", "lambdarank"] = "log"
    embeddings: Mapping[str, int] | None = None
    min_rows: int = 10
    dropout: float = 0.1
    batch_size: int = 512
    learning_rate: float = 0.002
    weight_decay: float = 0.0001
    refit: bool = True
    features: Sequence[str] | None = None


class NeuralRanker(RankerOptions, NamedFeatures, ABC):
    """A network; subclasses say what it computes."""

    weights_: Arrays
    transform_: Transform
    levels_: tuple[EmbeddingIndex, ...] = ()

    @abstractmethod
    def _initial(self, n_inputs: int, random: torch.Generator) -> Weights:
        """Return the first weights, for so many inputs."""

    @abstractmethod
    def _network(self, x: Any, weights: Mapping[str, Any], math: Math) -> Any:
        """Return the raw score (..., N) of inputs (..., N, n_inputs); x may not be written to."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Columns with an embedding."""
        return tuple(name for name in self.embeddings or {} if "." in name)

    def fit(self, data: RankingData) -> Self:
        """Learn from labelled candidates, until the validation rows say to stop.

        Raises
        ------
        DataError
            If there are no positives or no negatives, for a loss within groups: in no group both; or a label or weight
            is negative.
        ConfigurationError
            If ``features`` or ``embeddings`` name what the data lacks, or the loss is not finite.
        """
        names, _ = self._wanted(data)
        held = data.validation
        stops = held is not None and can_learn(held, by_row=self.loss == "log")
        everything = all_rows(data)
        self.max_gain_ = float(everything.label.max(initial=0.0))
        # Threads decide how sums are rounded, and after a thousand steps the model.
        with limited_threads(1), threads(1):
            part = replace(data, validation=None) if stops else everything
            rows = self._learn_inputs(part, names)
            trained = self._train(rows, self._rows(held) if held is not None and stops else None)
            self.scores_, self.best_epoch_ = trained.scores, trained.best_epoch
            if stops and self.refit:
                rows = self._learn_inputs(everything, names)
                trained = self._train(rows, None, trained.best_epoch)
        self.weights_ = trained.weights
        return self

    def bind(self, schema: Schema) -> Self:
        """Learn where the features stand and what the codes mean; ConfigurationError where something is missing."""
        bound = super().bind(schema)
        bound.levels_ = tuple(levels.bind(schema) for levels in self.levels_)
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the score, (N,) float32: with ``loss="log"`` the probability of a positive, else any scale."""
        inputs = self._inputs(self._columns(candidates))
        codes = [levels.of(candidates.user, candidates.item) for levels in self.levels_]
        n, size = len(candidates), self._block_size()
        if n > size:
            # Products of blocks are small enough that BLAS takes them on one thread: several, on busy cores, wait for
            # each other a hundred times as long as they compute.
            inputs, codes = _blocks(inputs, size), [_blocks(rows, size) for rows in codes]
        raw = self._forward(inputs, codes, self.weights_, Numpy()).ravel()[:n]
        return sigmoid(raw) if self.loss == "log" else raw

    def _block_size(self) -> int:
        largest = max(w.size for name, w in self.weights_.items() if not name.startswith("embedding/"))
        return max(_PRODUCT // largest, 16)

    def _forward(self, inputs: Any, codes: Sequence[Any], weights: Mapping[str, Any], math: Math) -> Any:
        embedded = [
            math.lookup(weights[f"embedding/{levels.name}"], rows)
            for levels, rows in zip(self.levels_, codes, strict=True)
        ]
        return self._network(math.concatenate([inputs, *embedded]) if embedded else inputs, weights, math)

    def _inputs(self, columns: Float32Array) -> Float32Array:
        """Return the numeric inputs (N, n); features (F, N) are changed in place."""
        standard, missing = self.transform_.standardise(columns)
        np.clip(standard, -LIMIT, LIMIT, out=standard)
        if len(self.indicated_):
            standard = np.concatenate([standard, missing[self.indicated_]])
        return standard.T

    def _learn_inputs(self, data: RankingData, names: tuple[str, ...]) -> _Rows:
        """Learn the transform and the levels from training rows; return these rows."""
        index, groups = self._labelled(data)
        features = data.features[np.ix_(index, positions_of(names, data.feature_names, type(self).__name__))]
        order, self.transform_ = Transform.learn(features, groups.weight)
        self.indicated_ = sometimes_missing(~np.isfinite(features.T[order]))
        self._use([names[i] for i in order])
        schema = data.schema
        if self.embeddings and schema is None:
            raise ConfigurationError(
                f"found embeddings of {', '.join(self.embeddings)} and training rows without a schema, which says what "
                "codes mean; hint: RankingData(..., schema=dataset.schema), as build_training_set gives"
            )
        self.levels_ = tuple(
            EmbeddingIndex.learn(name, schema, data.user[index], data.item[index], min_rows=self.min_rows)
            for name in self.embeddings or {}
            if schema is not None
        )
        return self._rows(data)

    def _rows(self, data: RankingData) -> _Rows:
        index, groups = self._labelled(data)
        columns = positions_of(self.feature_names_, data.feature_names, type(self).__name__)
        inputs = np.ascontiguousarray(self._inputs(data.features[np.ix_(index, columns)].T.copy()))
        user, item = data.user[index], data.item[index]
        return _Rows(inputs, tuple(levels.of(user, item) for levels in self.levels_), groups)

    def _labelled(self, data: RankingData) -> tuple[IntArray, Groups]:
        return rows_of(data, self.max_gain_) if self.loss == "log" else groups_of(data)

    def _train(self, rows: _Rows, held: _Rows | None, n_epochs: int | None = None) -> Trained:
        """Return trained weights: of the best epoch where rows are held, else of the last one."""
        random = generator(_cpu(), self.random_state)
        weights = {
            f"embedding/{levels.name}": _embedding(len(levels), width, random)
            for levels, width in zip(self.levels_, (self.embeddings or {}).values(), strict=True)
        }
        n_inputs = rows.inputs.shape[1] + sum(table.shape[1] for table in weights.values())
        weights |= self._initial(n_inputs, random)

        def judge() -> float:
            assert held is not None
            score = self._predict(held, weights)
            if self.loss == "lambdarank":
                return mean_ndcg(held.groups, score)
            return -loss_around(self.loss, held.groups, score)(score)[0] / len(held.groups)

        steps = partial(self._steps, weights, rows)
        return train(weights, steps, judge if held else None, self, n_epochs=n_epochs)

    def _steps(self, weights: Weights, rows: _Rows, epoch: int) -> Iterator[float]:
        import torch

        math = Torch(self.dropout, generator(_cpu(), self.random_state, epoch + 1))
        seed = int(np.random.SeedSequence([self.random_state & 0xFFFFFFFF, epoch]).generate_state(1)[0])
        order = np.random.default_rng(seed).permutation(len(rows.groups))
        ends = np.cumsum(np.diff(rows.groups.offsets)[order])
        batch = (ends - 1) // self.batch_size
        for part in np.split(order, np.flatnonzero(np.diff(batch)) + 1):
            index, groups = rows.groups.take(part)
            score = self._forward(*_tensors(rows, index), weights, math)
            raw = score.detach().numpy().astype(np.float64)
            if not np.isfinite(raw).all():
                yield float("nan")
            value, gradient = loss_around(self.loss, groups, raw, seed=seed)(raw)
            score.backward(torch.from_numpy((gradient / len(groups)).astype(np.float32)))
            yield value / len(groups)

    def _predict(self, rows: _Rows, weights: Weights) -> FloatArray:
        """Return raw scores of rows, computed by torch, (M,) float64."""
        import torch

        parts = [np.zeros(0, np.float32)]
        with torch.inference_mode():
            for start in range(0, len(rows.inputs), _CHUNK):
                index = np.arange(start, min(start + _CHUNK, len(rows.inputs)))
                parts.append(self._forward(*_tensors(rows, index), weights, Torch()).numpy())
        return np.concatenate(parts).astype(np.float64)


def _blocks(values: AnyArray, size: int) -> AnyArray:
    """Return rows (N, ...) as blocks (N / size, size, ...), the last one filled up with zeros."""
    n_blocks = -(-len(values) // size)
    filled = np.zeros((n_blocks * size, *values.shape[1:]), values.dtype)
    filled[: len(values)] = values
    return filled.reshape(n_blocks, size, *values.shape[1:])


def _tensors(rows: _Rows, index: IntArray) -> tuple[torch.Tensor, list[torch.Tensor]]:
    import torch

    return torch.from_numpy(rows.inputs[index]), [torch.from_numpy(codes[index]) for codes in rows.codes]


def _embedding(n_rows: int, width: int, random: torch.Generator) -> torch.Tensor:
    import torch

    table = torch.randn(n_rows, width, generator=random) * 0.05
    table[0] = 0.0  # unknown ids start at the origin
    return table


def _cpu() -> torch.device:
    import torch

    return torch.device("cpu")
