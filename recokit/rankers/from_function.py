"""FromFunction: a function, or a model that has learned already, as a ranker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from recokit._utils.calls import require_takes
from recokit._utils.options import identifier, optional, require
from recokit.data import Candidates, CandidatesById, Schema
from recokit.errors import ConfigurationError, ContractError
from recokit.rankers._inputs import FEATURES, NamedFeatures
from recokit.typing import AnyArray, Float32Array


class FromFunction(NamedFeatures):
    """Rank by a function of the candidates, or of their features.

    Parameters
    ----------
    function : callable
        ``function(candidates)``, with the candidates in external ids (:class:`recokit.data.CandidatesById`:
        ``item_ids``, ``user_ids``, ``feature(name)``, ``item_column(name)`` and so on), or ``function(features)`` with
        a float32 matrix (N, F) if ``features`` are named. It returns (N,) or (N, 1) numbers, higher is better. A torch
        module in evaluation mode gets and returns tensors, without gradients. So a model that was trained elsewhere
        serves by its own method, such as ``FromFunction(model.predict, features=[...])``.
    name : str, optional
        Name in paths; ``from_function`` by default.
    features : sequence of str, optional
        Features that the function takes, in its order; found by name. It gets the candidates without.
    requires : sequence of str, default ()
        Names it needs, such as ``"item.category"`` or ``"history"``.
    codes : bool, default False
        Whether the function gets the :class:`Candidates` themselves, in codes.

    Raises
    ------
    ConfigurationError
        If the function cannot be called, the name is no identifier, a torch module is in training mode, or a feature is
        missing on use.

    Notes
    -----
    A pipeline with a function cannot be saved, since a saved state holds no code: write a small class with a
    ``score`` method instead. Used without a pipeline, which would bind it, it gets codes: nothing tells the ids.

    Examples
    --------
    >>> batch = Candidates.from_lists([[7, 8]], features=[[10.0, 1.0], [390.0, 0.5]], feature_names=["clicks", "rate"])
    >>> FromFunction(lambda x: x[:, 0] * x[:, 1], features=["rate", "clicks"]).score(batch).tolist()
    [10.0, 195.0]
    >>> FromFunction(lambda candidates: -candidates.item).score(batch).tolist()
    [-7.0, -8.0]
    """

    own_code = True

    #: The model's vocabularies, once bound.
    schema_: Schema | None = None

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        name: str | None = None,
        features: Sequence[str] | None = None,
        requires: Sequence[str] = (),
        codes: bool = False,
    ) -> None:
        if not callable(function):
            hint = (
                "; hint: FromEstimator takes what is still to be fitted" if hasattr(function, "fit") else ""
            )
            raise ConfigurationError(
                f"found {function!r}; expected a function of candidates or features{hint}"
            )
        require(optional(identifier("house_score")), name=name)
        require(FEATURES, features=features)
        if _is_module(function) and (features is None or getattr(function, "training", False)):
            problem = "without features" if features is None else "in training mode"
            raise ConfigurationError(
                f"found a torch module {problem}; expected features=[...] in its order, and module.eval()"
            )
        self.function, self.name, self.features, self.requires = function, name, features, requires
        self.codes = codes
        require_takes(function, "candidates" if features is None else "features")
        if features is not None:
            self._use(features)

    def bind(self, schema: Schema) -> Self:
        """Return a copy that knows the ids and where the features stand; ConfigurationError where one is missing."""
        bound = super().bind(schema)
        bound.schema_ = schema
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the function's answer, (N,) float32.

        Raises
        ------
        ContractError
            If that is not one number for each candidate.
        """
        given: Any = self._select(candidates) if self.features is not None else candidates
        if self.features is None and self.schema_ is not None and not self.codes:
            given = CandidatesById(candidates, self.schema_)
        answer = _run_module(self.function, given) if _is_module(self.function) else self.function(given)
        return as_scores(
            answer, len(candidates), getattr(self.function, "__name__", type(self.function).__name__)
        )


def as_scores(answer: Any, n: int, who: str) -> Float32Array:
    """Return numbers (n,) or (n, 1) as scores (n,) float32.

    Raises
    ------
    ContractError
        If they have another shape, or are no numbers.
    """
    try:
        scores: AnyArray = np.asarray(answer)
        if scores.shape in ((n,), (n, 1)):
            return scores.reshape(n).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"found no numbers from {who} ({error}); expected {n}, one for each candidate"
        ) from error
    hint = "; hint: take one column, as in model.predict_proba(x)[:, 1]" if scores.ndim == 2 else ""
    raise ContractError(f"found an answer of shape {scores.shape} from {who}; expected ({n},){hint}")


def _is_module(function: Any) -> bool:
    torch: Any = sys.modules.get("torch")  # whoever has a module has loaded it
    return torch is not None and isinstance(function, torch.nn.Module)


def _run_module(module: Any, features: Float32Array) -> Any:
    import torch

    with torch.inference_mode():
        return module(torch.from_numpy(np.array(features, np.float32))).numpy()
