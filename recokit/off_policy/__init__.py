"""Off-policy evaluation: what another policy would have been worth, from a log of what was shown.

:class:`LoggedRounds` holds the log: rewards, and how likely both policies show what was shown. :func:`estimate` gives
an :class:`OffPolicyReport` with intervals, or refuses where the log does not support it (:class:`Support`,
:class:`Overlap`). :func:`counterfactual` does all of it for a pipeline and an impression log; :func:`replay` and
:func:`replayed_rounds` are its steps. :func:`slope` chooses among estimators.

Estimators of one item shown, or a list as a whole: :class:`IPS`, :class:`SNIPS`, :class:`ClippedIPS`; with a reward
model such as :class:`ItemReward` :class:`DM`, :class:`DR`, :class:`SNDR`, :class:`SwitchDR`, :class:`DRos`. Of lists:
:class:`IIPS`, :class:`RIPS`, :class:`SNIIPS`, :class:`SNRIPS`, :class:`CascadeDR`, :class:`PseudoInverse`. Propensities
that were not logged: :func:`frequency_propensity`, :func:`logistic_propensity`.
"""

from recokit.off_policy.counterfactual import counterfactual, replayed_rounds
from recokit.off_policy.estimate import ESTIMATORS, estimate
from recokit.off_policy.estimators import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    SwitchDR,
)
from recokit.off_policy.intervals import Parts
from recokit.off_policy.propensity import frequency_propensity, logistic_propensity
from recokit.off_policy.replay import Replay, replay
from recokit.off_policy.report import Estimate, OffPolicyReport
from recokit.off_policy.rewards import ItemReward, RewardModel
from recokit.off_policy.rounds import LoggedRounds
from recokit.off_policy.selection import Choice, slope
from recokit.off_policy.slates import IIPS, RIPS, SNIIPS, SNRIPS, CascadeDR, PseudoInverse
from recokit.off_policy.support import Overlap, Support

__all__ = [
    "DM",
    "DR",
    "ESTIMATORS",
    "IIPS",
    "IPS",
    "RIPS",
    "SNDR",
    "SNIIPS",
    "SNIPS",
    "SNRIPS",
    "CascadeDR",
    "Choice",
    "ClippedIPS",
    "DRos",
    "Estimate",
    "Estimator",
    "ItemReward",
    "LoggedRounds",
    "OffPolicyReport",
    "Overlap",
    "Parts",
    "PseudoInverse",
    "Replay",
    "RewardModel",
    "Support",
    "SwitchDR",
    "counterfactual",
    "estimate",
    "frequency_propensity",
    "logistic_propensity",
    "replay",
    "replayed_rounds",
    "slope",
]
