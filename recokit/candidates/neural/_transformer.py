"""A causal transformer over item sequences, as a function of its weights, and softmax losses over the catalogue."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recokit._neural.training import Weights, dropout

if TYPE_CHECKING:
    import torch

#: Scores of one block of the full softmax: small enough to stay in the cache between the passes over them.
_BLOCK = 1 << 20


def initial(
    n_codes: int, n_factors: int, n_blocks: int, max_history: int, *, random: torch.Generator
) -> Weights:
    """Return random weights; row 0 of the items, and all biases, are 0."""
    import torch

    device = random.device

    def normal(*shape: int, std: float = 0.02) -> torch.Tensor:
        return torch.randn(shape, generator=random, device=device) * std

    d = n_factors
    weights = {"item": normal(n_codes, d), "position": normal(max_history, d)}
    weights["item"][0] = 0
    std = 1 / math.sqrt(d)
    for block in range(n_blocks):
        weights |= {
            f"{block}.qkv": normal(3 * d, d, std=std),
            f"{block}.out": normal(d, d, std=std / math.sqrt(2 * n_blocks)),
            f"{block}.up": normal(4 * d, d, std=std),
            f"{block}.up_bias": torch.zeros(4 * d, device=device),
            f"{block}.down": normal(d, 4 * d, std=std / 2 / math.sqrt(2 * n_blocks)),
            f"{block}.down_bias": torch.zeros(d, device=device),
        }
    for norm in (
        "input",
        "final",
        *(f"{block}.{part}" for block in range(n_blocks) for part in ("attend", "feed")),
    ):
        weights[f"{norm}_scale"] = torch.ones(d, device=device)
        weights[f"{norm}_shift"] = torch.zeros(d, device=device)
    return weights


def encode(
    weights: Weights,
    items: torch.Tensor,
    n_heads: int,
    share: float = 0.0,
    *,
    random: torch.Generator | None = None,
) -> torch.Tensor:
    """Return a vector for every position of sequences, from the items up to it.

    Parameters
    ----------
    weights : dict of str to tensor
    items : tensor of int64, shape (B, T)
        Oldest first, padded with 0 at the end.
    n_heads : int
    share : float
        Dropout, with ``random``.
    random : torch.Generator, optional
        Only while training.

    Returns
    -------
    tensor of float32, shape (B, T, D)
    """
    import torch
    from torch.nn import functional as F

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}_scale"], weights[f"{name}_shift"])

    n_rows, length = items.shape
    d = weights["item"].shape[1]
    x = F.embedding(items, weights["item"]) + weights["position"][:length]
    x = dropout(norm(x, "input"), share, random)
    future = torch.ones(length, length, dtype=torch.bool, device=items.device).triu(1)
    block = 0
    while f"{block}.qkv" in weights:
        h = norm(x, f"{block}.attend") @ weights[f"{block}.qkv"].T
        q, k, v = h.view(n_rows, length, 3, n_heads, d // n_heads).permute(2, 0, 3, 1, 4)
        affinity = (q @ k.transpose(2, 3)) / math.sqrt(d // n_heads)
        attention = dropout(affinity.masked_fill(future, -torch.inf).softmax(-1), share, random)
        h = (attention @ v).transpose(1, 2).reshape(n_rows, length, d)
        x = x + dropout(h @ weights[f"{block}.out"].T, share, random)
        h = F.gelu(F.linear(norm(x, f"{block}.feed"), weights[f"{block}.up"], weights[f"{block}.up_bias"]))
        h = F.linear(dropout(h, share, random), weights[f"{block}.down"], weights[f"{block}.down_bias"])
        x = x + dropout(h, share, random)
        block += 1
    return norm(x, "final")


def full_softmax(
    vectors: torch.Tensor, items: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
) -> float:
    """Add the gradients of the cross-entropy over all items to ``vectors`` and ``items``; return its value.

    Block by block, so that the scores of all positions never stand in memory together.

    Parameters
    ----------
    vectors : tensor of float32, shape (N, D)
        With a graph behind it.
    items : tensor of float32, shape (n_codes, D)
        A leaf. Item 0 is not among the outcomes.
    target : tensor of int64, shape (N,)
    weight : tensor of float32, shape (N,)
        Of each position in the mean.
    """
    import torch

    with torch.no_grad():
        share = (weight / weight.sum())[:, None]
        gradient = torch.empty_like(vectors)
        table = torch.zeros_like(items)
        rows = max(_BLOCK // len(items), 16)
        buffer = torch.empty(min(rows, len(vectors)), len(items), device=items.device)
        total = torch.zeros((), dtype=torch.float64)
        for start in range(0, len(vectors), rows):
            here = slice(start, start + rows)
            scores = buffer[: len(vectors) - start]
            torch.mm(vectors[here], items.T, out=scores)
            scores[:, 0] = -torch.inf
            torch.softmax(scores, dim=1, out=scores)
            at = torch.arange(len(scores), device=scores.device), target[here]
            total -= (scores[at].clamp_min(1e-30).log() * share[here, 0]).sum().double().cpu()
            scores[at] -= 1
            gradient[here] = (scores @ items) * share[here]
            table.addmm_(scores.T, vectors[here] * share[here])
    vectors.backward(gradient)  # type: ignore[no-untyped-call]  # torch's own
    items.grad = table if items.grad is None else items.grad.add_(table)
    return float(total)


def sampled_softmax(
    vectors: torch.Tensor,
    items: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    negative: torch.Tensor,
    log_q: torch.Tensor,
) -> float:
    """Do the same with drawn negatives, shared by all positions, in place of all items.

    Parameters
    ----------
    vectors, items, target, weight
        As of :func:`full_softmax`.
    negative : tensor of int64, shape (K,)
        A position's own target among them does not count.
    log_q : tensor of float32, shape (K,)
        Log of how often each negative is expected among the K: subtracted, the sum over the negatives estimates that
        over all items.
    """
    import torch
    from torch.nn import functional as F

    own = (vectors * F.embedding(target, items)).sum(1, keepdim=True)
    others = vectors @ F.embedding(negative, items).T - log_q
    others = others.masked_fill(negative == target[:, None], -torch.inf)
    scores = torch.cat([own, others], dim=1)
    loss = F.cross_entropy(scores, torch.zeros_like(target), reduction="none")
    mean = (loss * weight).sum() / weight.sum()
    mean.backward()  # type: ignore[no-untyped-call]  # torch's own
    return float(mean.detach())
