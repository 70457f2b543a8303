"""Rules: what the business asks of every list.

Filters, which always hold and fail closed: :class:`InStock`, :class:`NotOwned`, :class:`NotSeen`, :class:`Allowed`,
:class:`Blocked`, :class:`Where`, :class:`FrequencyCap`, :class:`FromFunction`. Scorers that move items by a bounded
number of places: :class:`Boost`, :class:`Bury`, :class:`FreshnessBoost`. Limits on the list: :class:`MaxShare`,
:class:`MaxPerGroup`, :class:`MinPerGroup`, :class:`OnePer`, :class:`Spacing`, :class:`Exclusive`, and places in it:
:class:`Pinned`, :class:`Slots`. A label and its check: :class:`Disclose`. Why an item is there: :class:`Reasons`. What
each did in a run: :func:`report`.
"""

from recokit.rules.boost import Boost, Bury, FreshnessBoost
from recokit.rules.caps import MaxPerGroup, MaxShare, MinPerGroup, OnePer
from recokit.rules.disclose import Disclose
from recokit.rules.exclusive import Exclusive
from recokit.rules.frequency import FrequencyCap
from recokit.rules.lists import Allowed, Blocked
from recokit.rules.own import NotOwned, NotSeen
from recokit.rules.places import Pinned, Slots, Spacing
from recokit.rules.reasons import REASON_TEMPLATES, Reasons
from recokit.rules.report import RuleFigures, RulesReport, report
from recokit.rules.stock import InStock
from recokit.rules.where import FromFunction, Where

__all__ = [
    "REASON_TEMPLATES",
    "Allowed",
    "Blocked",
    "Boost",
    "Bury",
    "Disclose",
    "Exclusive",
    "FrequencyCap",
    "FreshnessBoost",
    "FromFunction",
    "InStock",
    "MaxPerGroup",
    "MaxShare",
    "MinPerGroup",
    "NotOwned",
    "NotSeen",
    "OnePer",
    "Pinned",
    "Reasons",
    "RuleFigures",
    "RulesReport",
    "Slots",
    "Spacing",
    "Where",
    "report",
]
