"""The two towers, as functions of their weights, and the columns that they read beside ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._neural.training import Weights
from recokit.data import Ragged, Table, Vocabulary
from recokit.data.times import DAY
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    import torch

#: Columns of the moment of a request, UTC, and how many codes each has, 0 among them.
CONTEXT = {"hour": 25, "weekday": 8, "month": 13}


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of a table, as a tower reads them.

    Parameters
    ----------
    names : tuple of str
        Categorical columns.
    codes : ndarray of int64, shape (n + 1, len(names))
        Label codes, 0 where missing.
    labels : tuple of Vocabulary
        Of each categorical column.
    numeric_names : tuple of str
    numeric : ndarray of float32, shape (n + 1, 2 * len(numeric_names))
        Standardised values, 0 where missing; then 1 where missing, else 0.
    center, scale : ndarray of float64
        Of each numeric column.
    """

    names: tuple[str, ...]
    codes: IntArray
    labels: tuple[Vocabulary, ...]
    numeric_names: tuple[str, ...]
    numeric: Float32Array
    center: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, table: Table, columns: Sequence[str], entity: str) -> Columns:
        """Read columns by name; ``"item.category"`` and ``"category"`` mean the same."""
        short = [name.removeprefix(f"{entity}.") for name in columns]
        usable = (*table.numeric_names, *table.categorical)
        for name in short:
            if name not in usable:
                raise ConfigurationError(
                    f"found no numeric or categorical {entity} column {name!r}; {did_you_mean(name, usable)}"
                )
        numeric_names = tuple(name for name in short if name in table.numeric_names)
        values = _columns(table, numeric_names, np.float64)
        real = np.isfinite(values)
        count = np.maximum(real.sum(axis=0), 1)
        center = np.where(real, values, 0.0).sum(axis=0) / count
        scale = np.sqrt((np.where(real, values - center, 0.0) ** 2).sum(axis=0) / count)
        scale[scale == 0] = 1.0
        names = tuple(name for name in short if name in table.categorical)
        return cls(
            names=names,
            codes=_columns(table, names, np.int64),
            labels=tuple(table.labels(name) for name in names),
            numeric_names=numeric_names,
            numeric=_standardised(values, center, scale),
            center=center,
            scale=scale,
        )

    def read(self, table: Table) -> Columns:
        """Return the same columns of another table, in the labels and on the scale of this one."""
        for name in (*self.names, *self.numeric_names):
            if name not in table.names:
                raise ConfigurationError(f"found no column {name!r}; {did_you_mean(name, table.names)}")
        codes = _columns(table, self.names, np.int64)
        for place, (name, labels) in enumerate(zip(self.names, self.labels, strict=True)):
            theirs = table.labels(name)
            ours = np.concatenate([[0], labels.encode(theirs.ids)]) if len(theirs) else np.zeros(1, np.int64)
            codes[:, place] = ours[codes[:, place]]
        values = _columns(table, self.numeric_names, np.float64)
        return replace(self, codes=codes, numeric=_standardised(values, self.center, self.scale))


def _columns(table: Table, names: Sequence[str], dtype: Any) -> AnyArray:
    """Return columns side by side, (n + 1, len(names))."""
    columns = [table.column(name).astype(dtype) for name in names]
    return np.stack(columns, axis=1) if columns else np.zeros((table.n + 1, 0), dtype)


def _standardised(values: FloatArray, center: FloatArray, scale: FloatArray) -> Float32Array:
    real = np.isfinite(values)
    scaled = np.where(real, (np.where(real, values, 0.0) - center) / scale, 0.0)
    return np.concatenate([scaled, ~real], axis=1).astype(np.float32)


def context_codes(names: Sequence[str], now: AnyArray) -> dict[str, IntArray]:
    """Return the codes of moments (B,), from 1, by name."""
    months = now.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    codes = {
        "hour": now % DAY // 3600,
        "weekday": (now // DAY + 3) % 7,  # 1970 began on a Thursday
        "month": months % 12,
    }
    return {name: codes[name].astype(np.int64) + 1 for name in names}


@dataclass(frozen=True, eq=False)
class Inputs:
    """Columns that the towers read beside ids: of the items, of the users and of the moment of the request."""

    items: Columns
    users: Columns
    context: Sequence[str]


def initial(
    n_codes: int, n_factors: int, hidden: Sequence[int], inputs: Inputs, *, random: torch.Generator
) -> Weights:
    """Return random weights; the last layer of both towers is 0, so that they start as the mean of the history."""
    import torch

    device = random.device

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random, device=device) / math.sqrt(shape[-1])

    d = n_factors
    weights = {"item": normal(n_codes, d)}
    for side, columns in (("item", inputs.items), ("user", inputs.users)):
        for name, labels in zip(columns.names, columns.labels, strict=True):
            weights[f"{side}.{name}"] = normal(len(labels) + 1, d)
        if columns.numeric_names:
            weights[f"{side}_numeric"] = normal(columns.numeric.shape[1], d)
    for name in inputs.context:
        weights[f"context.{name}"] = normal(CONTEXT[name], d)
    for tower, width in (("item_tower", d), ("user_tower", 2 * d)):
        widths = [width, *hidden, d]
        for layer, (before, after) in enumerate(pairwise(widths)):
            last = layer == len(hidden)
            weights[f"{tower}.{layer}"] = (
                torch.zeros(after, before, device=device) if last else normal(after, before) * math.sqrt(2)
            )
            weights[f"{tower}.{layer}_bias"] = torch.zeros(after, device=device)
    return weights


def _tower(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional as F

    layer = 0
    while f"{name}.{layer}" in weights:
        x = F.linear(F.relu(x) if layer else x, weights[f"{name}.{layer}"], weights[f"{name}.{layer}_bias"])
        layer += 1
    return x


def _side(weights: Weights, side: str, columns: Columns, rows: IntArray, like: torch.Tensor) -> torch.Tensor:
    """Return the sum of the embeddings of a table's columns, (n, D)."""
    import torch
    from torch.nn import functional as F

    total = torch.zeros(len(rows), like.shape[1], device=like.device)
    for place, name in enumerate(columns.names):
        codes = torch.from_numpy(columns.codes[rows, place]).to(like.device)
        total = total + F.embedding(codes, weights[f"{side}.{name}"])
    if columns.numeric_names:
        total = total + torch.from_numpy(columns.numeric[rows]).to(like.device) @ weights[f"{side}_numeric"]
    return total


def item_base(weights: Weights, columns: Columns, items: IntArray, own: torch.Tensor) -> torch.Tensor:
    """Return the input of the item tower, (n, D): the id's embedding plus those of the columns.

    Parameters
    ----------
    weights : dict of str to tensor
    columns : Columns
    items : ndarray of int64, shape (n,)
    own : tensor of float32, shape (n,)
        Factor of the id's embedding: 0 for items known by their columns alone.
    """
    import torch
    from torch.nn import functional as F

    table = weights["item"]
    side = _side(weights, "item", columns, items, table)
    safe = torch.from_numpy(np.where(items < len(table), items, 0)).to(table.device)
    return F.embedding(safe, table) * own[:, None] + side


def item_vectors(weights: Weights, base: torch.Tensor) -> torch.Tensor:
    """Return the vectors of items, (n, D), of length 1."""
    from torch.nn import functional as F

    return F.normalize(base + _tower(weights, "item_tower", base), dim=1)


def pooled(base: torch.Tensor, history: Ragged, weight: Float32Array) -> torch.Tensor:
    """Return the weighted mean of rows of ``base`` for each list, (B, D); zeros for empty lists."""
    import torch
    from torch.nn import functional as F

    total = np.bincount(offsets_to_rows(history.offsets), weights=weight, minlength=len(history))
    share = (weight / np.repeat(total, history.counts)).astype(np.float32)
    place = torch.from_numpy(history.values).to(base.device)
    offsets = torch.from_numpy(history.offsets[:-1]).to(base.device)
    shares = torch.from_numpy(share).to(base.device)
    return F.embedding_bag(place, base, offsets, mode="sum", per_sample_weights=shares)


def user_vectors(
    weights: Weights, mean: torch.Tensor, columns: Columns, user: IntArray, *, context: Mapping[str, IntArray]
) -> torch.Tensor:
    """Return the vectors of requests, (B, D), of length 1, from the mean of the history, user columns and context."""
    import torch
    from torch.nn import functional as F

    side = _side(weights, "user", columns, user, mean)
    for name, codes in context.items():
        side = side + F.embedding(torch.from_numpy(codes).to(mean.device), weights[f"context.{name}"])
    return F.normalize(mean + _tower(weights, "user_tower", torch.cat([mean, side], dim=1)), dim=1)


def in_batch_softmax(
    users: torch.Tensor,
    pool: torch.Tensor,
    *,
    log_q: torch.Tensor,
    hits: BoolArray,
    weight: torch.Tensor,
    temperature: float,
    hard: torch.Tensor | None = None,
    real: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the weighted mean cross-entropy of each row's own item against a shared pool.

    Parameters
    ----------
    users : tensor, shape (B, D)
    pool : tensor, shape (C, D)
        Row ``b`` is the item of user ``b``; negatives from elsewhere follow.
    log_q : tensor, shape (C,)
        Log of how often each item is expected in the pool: subtracted, so that popular items are not pushed away
        merely because they come often.
    hits : ndarray of bool, shape (B, C)
        Pool items that are no negatives of the row, as its user took them.
    weight : tensor, shape (B,)
    temperature : float
    hard, real : tensor, shape (B, H, D) and (B, H), optional
        Negatives of each row's own, and which of them there are. Chosen, not drawn: they need no correction.
    """
    import torch
    from torch.nn import functional as F

    scores = users @ pool.T / temperature - log_q
    scores = scores.masked_fill(torch.from_numpy(hits).to(scores.device), -torch.inf)
    if hard is not None and real is not None:
        own = (hard @ users[:, :, None])[:, :, 0] / temperature
        scores = torch.cat([scores, own.masked_fill(~real, -torch.inf)], dim=1)
    loss = F.cross_entropy(scores, torch.arange(len(users), device=users.device), reduction="none")
    return (loss * weight).sum() / weight.sum()
