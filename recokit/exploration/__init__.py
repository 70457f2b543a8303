"""Exploration: lists that are partly drawn at random, with the exact probability of every place.

Policies that steer selection: :class:`EpsilonGreedy`, :class:`Softmax`, :class:`ThompsonSampling`, :class:`UCB`; and
:class:`ExplorationSlot`, which lets a policy fill some places only, within a :class:`Budget`. :class:`Statistics` hold
what is known of each item. Results have a column ``propensity``.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.exploration.budget import Budget as Budget, Spent as Spent
    from recokit.exploration.epsilon_greedy import EpsilonGreedy as EpsilonGreedy
    from recokit.exploration.slot import ExplorationSlot as ExplorationSlot
    from recokit.exploration.softmax import Softmax as Softmax
    from recokit.exploration.statistics import Statistics as Statistics
    from recokit.exploration.thompson_sampling import ThompsonSampling as ThompsonSampling
    from recokit.exploration.ucb import UCB as UCB

__getattr__, __dir__ = lazy_face(__name__)
