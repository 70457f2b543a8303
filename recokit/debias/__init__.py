"""Debiasing: training rows from logged impressions, corrected for the places in which items were shown.

:class:`PositionModel`, :func:`propensity_from_swaps` and :func:`intervention_harvest` estimate how likely each place is
examined, a :class:`PositionBias`; :func:`impression_rows` makes rows of an :class:`ImpressionLog`,
:func:`inverse_propensity` and :func:`doubly_robust` correct them.
"""

from recokit.data.impressions import ImpressionLog
from recokit.debias.impressions import ImpressionReport, ImpressionSet, impression_rows
from recokit.debias.position_bias import Clicks, PositionBias
from recokit.debias.propensity import PositionModel, intervention_harvest, propensity_from_swaps
from recokit.debias.reweight import UnbiasedSet, WeightReport, doubly_robust, inverse_propensity

__all__ = [
    "Clicks",
    "ImpressionLog",
    "ImpressionReport",
    "ImpressionSet",
    "PositionBias",
    "PositionModel",
    "UnbiasedSet",
    "WeightReport",
    "doubly_robust",
    "impression_rows",
    "intervention_harvest",
    "inverse_propensity",
    "propensity_from_swaps",
]
