"""Diversity: objectives of slate selection, which weigh relevance against what a list has already.

By likeness (vectors, labels, any similarity): :class:`MMR`, :class:`MSD`, :class:`DPP`, :class:`FacilityLocation`. By
labels and what the list should have of them: :class:`Calibration`, :class:`Proportional`, :class:`XQuAD`.
:class:`TopK` is relevance alone.
"""

from recokit.diversity.calibration import Calibration
from recokit.diversity.dpp import DPP
from recokit.diversity.facility_location import FacilityLocation
from recokit.diversity.mmr import MMR
from recokit.diversity.msd import MSD
from recokit.diversity.proportional import Proportional
from recokit.diversity.top_k import TopK
from recokit.diversity.xquad import XQuAD

__all__ = ["DPP", "MMR", "MSD", "Calibration", "FacilityLocation", "Proportional", "TopK", "XQuAD"]
