"""Exploration: lists that are partly drawn at random, with the exact probability of every place.

Policies that steer selection: :class:`EpsilonGreedy`, :class:`Softmax`, :class:`ThompsonSampling`, :class:`UCB`; and
:class:`ExplorationSlot`, which lets a policy fill some places only, within a :class:`Budget`. :class:`Statistics` hold
what is known of each item. Results have a column ``propensity``.
"""

from recokit.exploration.budget import Budget, Spent
from recokit.exploration.epsilon_greedy import EpsilonGreedy
from recokit.exploration.slot import ExplorationSlot
from recokit.exploration.softmax import Softmax
from recokit.exploration.statistics import Statistics
from recokit.exploration.thompson_sampling import ThompsonSampling
from recokit.exploration.ucb import UCB

__all__ = [
    "UCB",
    "Budget",
    "EpsilonGreedy",
    "ExplorationSlot",
    "Softmax",
    "Spent",
    "Statistics",
    "ThompsonSampling",
]
