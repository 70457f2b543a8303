"""Slates: the one selection of a list, greedy, under every limit.

:func:`select` chooses lists, :func:`broken_limits` checks finished ones by counting, and :func:`conflicts` names the
limits that cannot hold together.
"""

from recokit.slates.conflicts import conflicts
from recokit.slates.milp import prepare
from recokit.slates.select import Selection, broken_limits, select

__all__ = ["Selection", "broken_limits", "conflicts", "prepare", "select"]
