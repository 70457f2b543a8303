"""Diversity: objectives of slate selection, which weigh relevance against what a list has already.

By likeness (vectors, labels, any similarity): :class:`MMR`, :class:`MSD`, :class:`DPP`, :class:`FacilityLocation`. By
labels and what the list should have of them: :class:`Calibration`, :class:`Proportional`, :class:`XQuAD`.
:class:`TopK` is relevance alone.

Fairness: :class:`FairExposure` pays groups of items what an :class:`ExposureLedger` says they are owed, across
requests; :class:`FairTopK` is FA*IR, enough protected items in every prefix, by the table of :func:`fair_minimum`.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.diversity.calibration import Calibration as Calibration
    from recokit.diversity.dpp import DPP as DPP
    from recokit.diversity.exposure import Exposed as Exposed, ExposureLedger as ExposureLedger
    from recokit.diversity.facility_location import FacilityLocation as FacilityLocation
    from recokit.diversity.fair_exposure import FairExposure as FairExposure
    from recokit.diversity.fair_top_k import FairTopK as FairTopK, fair_minimum as fair_minimum
    from recokit.diversity.mmr import MMR as MMR
    from recokit.diversity.msd import MSD as MSD
    from recokit.diversity.proportional import Proportional as Proportional
    from recokit.diversity.top_k import TopK as TopK
    from recokit.diversity.xquad import XQuAD as XQuAD

__getattr__, __dir__ = lazy_face(__name__)
