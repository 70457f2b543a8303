"""Diversity: objectives of slate selection, which weigh relevance against what a list has already.

By likeness (vectors, labels, any similarity): :class:`MMR`, :class:`MSD`, :class:`DPP`, :class:`FacilityLocation`. By
labels and what the list should have of them: :class:`Calibration`, :class:`Proportional`, :class:`XQuAD`.
:class:`TopK` is relevance alone.

Fairness: :class:`FairExposure` pays groups of items what an :class:`ExposureLedger` says they are owed, across
requests; :class:`FairTopK` is FA*IR, enough protected items in every prefix, by the table of :func:`fair_minimum`.
"""

from recokit.diversity.calibration import Calibration
from recokit.diversity.dpp import DPP
from recokit.diversity.exposure import Exposed, ExposureLedger
from recokit.diversity.facility_location import FacilityLocation
from recokit.diversity.fair_exposure import FairExposure
from recokit.diversity.fair_top_k import FairTopK, fair_minimum
from recokit.diversity.mmr import MMR
from recokit.diversity.msd import MSD
from recokit.diversity.proportional import Proportional
from recokit.diversity.top_k import TopK
from recokit.diversity.xquad import XQuAD

__all__ = [
    "DPP",
    "MMR",
    "MSD",
    "Calibration",
    "Exposed",
    "ExposureLedger",
    "FacilityLocation",
    "FairExposure",
    "FairTopK",
    "Proportional",
    "TopK",
    "XQuAD",
    "fair_minimum",
]
