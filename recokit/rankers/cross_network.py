"""CrossNetwork: explicit products of features, and a deep part beside or behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

from recokit._utils.options import one_of, rules, whole
from recokit.rankers._neural import Math, NeuralRanker, layers, run_layers

if TYPE_CHECKING:
    import torch

    from recokit._neural.training import Weights


@dataclass(eq=False, repr=False)
class CrossNetwork(NeuralRanker):
    """Rank by a deep and cross network (DCN-v2; Wang et al., 2021).

    Each cross layer multiplies what it gets with the inputs once more, ``x <- x0 * (x W + b) + x``: after L layers the
    products of up to L + 1 inputs are there, which fully connected layers only approximate. Inputs, training and
    serving are those of :class:`NeuralNet`.

    Parameters
    ----------
    n_layers : int, default 2
        Cross layers.
    hidden : sequence of int, default (64, 32)
        Width of each layer of the deep part; empty for none.
    structure : {"parallel", "stacked"}, default "parallel"
        Whether the deep part gets the inputs, or what the cross layers made of them.
    loss, embeddings, min_rows, dropout, n_epochs, patience, batch_size, learning_rate, weight_decay, refit, \
random_state, features, progress
        See :class:`NeuralNet`.

    Attributes
    ----------
    feature_names_, weights_, transform_, scores_, best_epoch_
        See :class:`NeuralNet`.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or a feature or column is missing on use.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates, RankingData
    >>> x = np.random.default_rng(0).choice([-1.0, 1.0], (200, 2)).astype(np.float32)
    >>> data = RankingData(x, ("a", "b"), (x[:, 0] == x[:, 1]).astype(np.float32), np.ones(200, np.float32),
    ...                    np.array([0, 200]), np.ones(200, np.int64), np.arange(1, 201), np.zeros(200))
    >>> ranker = CrossNetwork(1, hidden=(), learning_rate=0.05, batch_size=50).fit(data)
    >>> same, other = [[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [-1.0, 1.0]]
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], features=same + other, feature_names=["a", "b"])
    >>> (ranker.score(batch) > 0.5).tolist()
    [True, True, False, False]
    """

    _OPTIONS = rules(n_layers=whole(1), structure=one_of("parallel", "stacked"))

    n_layers: int = 2
    _: KW_ONLY
    structure: Literal["parallel", "stacked"] = "parallel"

    def _initial(self, n_inputs: int, random: torch.Generator) -> Weights:
        weights = layers((n_inputs, *self.hidden), random)
        for i in range(self.n_layers):
            weights |= layers((n_inputs, n_inputs), random, f"cross{i}/")
        last = self.hidden[-1] if self.hidden else n_inputs
        weights |= layers((last, 1), random, "out/")
        if self.structure == "parallel" and self.hidden:
            weights |= layers((n_inputs, 1), random, "cross_out/")
        return weights

    def _network(self, x: Any, weights: Mapping[str, Any], math: Math) -> Any:
        crossed = x
        for i in range(self.n_layers):
            crossed = x * (crossed @ weights[f"cross{i}/w0"] + weights[f"cross{i}/b0"]) + crossed
        beside = self.structure == "parallel" and bool(self.hidden)
        deep = run_layers(x if beside else crossed, weights, len(self.hidden), math)
        raw = deep @ weights["out/w0"] + weights["out/b0"]
        return (raw + crossed @ weights["cross_out/w0"] if beside else raw)[..., 0]
