"""NeuralNet: a small network that serves without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recokit.rankers._neural import Math, NeuralRanker, layers, run_layers

if TYPE_CHECKING:
    import torch

    from recokit._neural.training import Weights


@dataclass(eq=False, repr=False)
class NeuralNet(NeuralRanker):
    """Rank by a small fully connected network.

    Features go in as :class:`LogisticRegression` sees them: logarithms of heavy-tailed ones, standardised, a missing
    value at the mean with an input of its own that says so. Ids and labels go in as embeddings. torch trains; the
    fitted network is plain arrays, and :meth:`score` needs numpy alone.

    Parameters
    ----------
    hidden : sequence of int, default (64, 32)
        Width of each layer; a rectifier behind each. Empty for a linear model.
    loss : {"log", "softmax", "bpr", "lambdarank"}, default "log"
        ``"log"``: how likely each candidate is taken; scores are probabilities. The others learn the order within each
        request, as :class:`LinearRanker` says.
    embeddings : mapping of str to int, optional
        Width of the embedding of ``"user"`` or ``"item"`` ids and of categorical columns, such as
        ``{"item.category": 8, "user": 16}``.
    min_rows : int, default 10
        Ids and labels with fewer training rows share the embedding of the unknown.
    dropout : float, default 0.1
        Share of activations set to 0 while training.
    n_epochs : int, default 30
        At most; without validation rows, exactly.
    patience : int, default 3
        Stop when so many epochs in a row were no better on the validation rows: by the loss, with
        ``loss="lambdarank"`` by NDCG.
    batch_size : int, default 512
        Rows, about: losses within requests take whole requests.
    learning_rate : float, default 0.002
    weight_decay : float, default 0.0001
        Of AdamW.
    refit : bool, default True
        Whether to train once more, for the best number of epochs, on training and validation rows together.
    random_state : int, default 0
        Seed of weights, batches, dropout and pairs.
    features : sequence of str, optional
        Features to use; all by default.
    progress : bool, default False
        Whether to show a progress bar.

    Attributes
    ----------
    feature_names_ : tuple of str
        Features used, heavy-tailed ones first.
    weights_ : dict of str to ndarray of float32
    transform_ : Transform
        Means and scales of the features, and how many go through ``log(1 + x)``.
    scores_ : ndarray of float64
        Score of the validation rows after each epoch, higher is better; NaN without them.
    best_epoch_ : int
        1-based.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or a feature or column is missing on use.

    Notes
    -----
    ``fit`` runs on one thread: the same seed gives the same weights on any machine of a kind. Inputs are cut off at 8
    deviations.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates, RankingData
    >>> x = np.tile(np.arange(4, dtype=np.float32), 50)[:, None]
    >>> data = RankingData(x, ("clicks",), (x[:, 0] % 3 > 0).astype(np.float32), np.ones(200, np.float32),
    ...                    np.array([0, 200]), np.ones(200, np.int64), np.arange(1, 201), np.zeros(200))
    >>> ranker = NeuralNet((16,), learning_rate=0.02, batch_size=50).fit(data)
    >>> batch = Candidates.from_lists([[7, 8, 9]], features=[[0.0], [1.5], [3.0]], feature_names=["clicks"])
    >>> low, high, low_again = ranker.score(batch)
    >>> bool(high > 0.8 > 0.2 > max(low, low_again))
    True
    """

    hidden: Sequence[int] = (64, 32)

    def _initial(self, n_inputs: int, random: torch.Generator) -> Weights:
        widths = (n_inputs, *self.hidden)
        return {**layers(widths, random), **layers((widths[-1], 1), random, "out/")}

    def _network(self, x: Any, weights: Mapping[str, Any], math: Math) -> Any:
        x = run_layers(x, weights, len(self.hidden), math)
        return (x @ weights["out/w0"] + weights["out/b0"])[..., 0]
