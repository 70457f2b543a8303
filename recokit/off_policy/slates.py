"""Estimators for lists: what each place depends on is assumed, and weights are those of that part of the list."""

from __future__ import annotations

import numpy as np

from recokit.off_policy.estimators import Estimator
from recokit.off_policy.intervals import Parts
from recokit.off_policy.rounds import LoggedRounds
from recokit.typing import FloatArray


class _Places(Estimator):
    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Return the weight of each place, (n, width)."""
        return rounds.place_weight


class _Cascade(Estimator):
    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Return the weight of the list down to each place, (n, width)."""
        return rounds.cascade_weight


class IIPS(_Places):
    """Independent IPS: the reward of a place depends on its item alone, not on the rest of the list.

    ``mean(sum over places of w[place] * reward[place])``; Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen,
    *Offline evaluation of ranking policies with click models*, 2018 (item-position model). Small weights, so it works
    with long lists. It weighs by the probability of an item in its place whatever stands above:
    ``marginal_propensity`` and ``marginal_target`` where they differ from those given the places above.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward of each list."""
        return Parts(_dot(rounds.place_weight, rounds.rewards))


class SNIIPS(_Places):
    """Self-normalised IIPS: ``sum(w * reward) / mean(w)`` over all places, per list.

    As :class:`IIPS`, and as steady against :class:`IIPS` as SNIPS is against IPS.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward and the mean weight of each list."""
        return _self_normalised(rounds, rounds.place_weight)


class RIPS(_Cascade):
    """Reward-interaction IPS: the reward of a place depends on its item and those above, as where users read down.

    ``mean(sum over places of w[1] * ... * w[place] * reward[place])``; McInerney, Brost, Chandar, Mehrotra and
    Carterette, *Counterfactual evaluation of slate recommendations with sequential reward interactions*, 2020.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward of each list."""
        return Parts(_dot(rounds.cascade_weight, rounds.rewards))


class SNRIPS(_Cascade):
    """Self-normalised RIPS: ``sum(w * reward) / mean(w)`` over all places, per list, with RIPS' weights."""

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward and the mean weight of each list."""
        return _self_normalised(rounds, rounds.cascade_weight)


class CascadeDR(_Cascade):
    """Doubly robust for users who read down: RIPS, with a model for each place given the places above.

    ``mean(sum over places of w[..place] * (reward - predicted) + w[..place - 1] * expected_next)``; Kiyohara and
    others, *Doubly robust off-policy evaluation for ranking policies under the cascade behavior model*, 2022. Unbiased
    with right propensities whatever the model. In the paper the model predicts the reward from the place down; one of
    the place alone will do, and leaves more variance.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed errors and expectations of each list."""
        weight = rounds.cascade_weight
        above = np.concatenate([np.ones((len(rounds), 1)), weight[:, :-1]], axis=1)
        error = rounds.matrix(rounds.reward - rounds.column("predicted", self.name))
        expected = rounds.matrix(rounds.column("expected_next", self.name))
        return Parts(_dot(weight, error) + _dot(above, expected))


class PseudoInverse(_Places):
    """Pseudo-inverse: the reward of a whole list is a sum over its places, which nobody has to observe one by one.

    ``mean((sum over places of w[place] - places + 1) * summed reward)``: Swaminathan, Krishnamurthy, Agarwal, Dudik,
    Langford, Jose and Zitouni, *Off-policy evaluation for slate recommendation*, 2017, in the closed form for logging
    policies that fill places independently (Vlassis, Chandrashekar, Amat and Kallus, *Control variates for slate
    off-policy evaluation*, 2021). For rewards of a list as a whole, such as whether the session ended in a purchase.
    Where the log draws without repeats from few items, places are not independent and it is only about right.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward of each list."""
        weight = rounds.place_weight
        return Parts((weight.sum(axis=1) - weight.shape[1] + 1.0) * rounds.logged)


def _dot(weight: FloatArray, value: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("nk,nk->n", weight, value))


def _self_normalised(rounds: LoggedRounds, weight: FloatArray) -> Parts:
    places = rounds.matrix(np.ones(len(rounds.reward)))
    numerator = _dot(weight, rounds.rewards)
    # A list of average length has a denominator of 1 where the weights are 1.
    denominator = _dot(weight, places) * (len(rounds) / len(rounds.reward))
    return Parts(np.zeros(len(rounds)), numerator, denominator)
