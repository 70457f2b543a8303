"""Rules: what the business asks of every list.

Filters, which always hold and fail closed: :class:`InStock`, :class:`NotOwned`, :class:`NotSeen`, :class:`Allowed`,
:class:`Blocked`, :class:`Where`, :class:`FrequencyCap`, :class:`FromFunction`. Scorers that move items by a bounded
number of places: :class:`Boost`, :class:`Bury`, :class:`FreshnessBoost`. Limits on the list: :class:`MaxShare`,
:class:`MaxPerGroup`, :class:`MinPerGroup`, :class:`OnePer`, :class:`Spacing`, :class:`Exclusive`, and places in it:
:class:`Pinned`, :class:`Slots`. A label and its check: :class:`Disclose`. Why an item is there: :class:`Reasons`. What
each did in a run: :func:`report`.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.rules.boost import Boost as Boost
    from recokit.rules.boost import Bury as Bury
    from recokit.rules.boost import FreshnessBoost as FreshnessBoost
    from recokit.rules.caps import MaxPerGroup as MaxPerGroup
    from recokit.rules.caps import MaxShare as MaxShare
    from recokit.rules.caps import MinPerGroup as MinPerGroup
    from recokit.rules.caps import OnePer as OnePer
    from recokit.rules.disclose import Disclose as Disclose
    from recokit.rules.exclusive import Exclusive as Exclusive
    from recokit.rules.frequency import FrequencyCap as FrequencyCap
    from recokit.rules.lists import Allowed as Allowed
    from recokit.rules.lists import Blocked as Blocked
    from recokit.rules.own import NotOwned as NotOwned
    from recokit.rules.own import NotSeen as NotSeen
    from recokit.rules.places import Pinned as Pinned
    from recokit.rules.places import Slots as Slots
    from recokit.rules.places import Spacing as Spacing
    from recokit.rules.reasons import REASON_TEMPLATES as REASON_TEMPLATES
    from recokit.rules.reasons import Reasons as Reasons
    from recokit.rules.rule_report import RuleFigures as RuleFigures
    from recokit.rules.rule_report import RulesReport as RulesReport
    from recokit.rules.rule_report import report as report
    from recokit.rules.stock import InStock as InStock
    from recokit.rules.where import FromFunction as FromFunction
    from recokit.rules.where import Where as Where

_HOMES = {
    "REASON_TEMPLATES": ".reasons",
    "Allowed": ".lists",
    "Blocked": ".lists",
    "Boost": ".boost",
    "Bury": ".boost",
    "Disclose": ".disclose",
    "Exclusive": ".exclusive",
    "FrequencyCap": ".frequency",
    "FreshnessBoost": ".boost",
    "FromFunction": ".where",
    "InStock": ".stock",
    "MaxPerGroup": ".caps",
    "MaxShare": ".caps",
    "MinPerGroup": ".caps",
    "NotOwned": ".own",
    "NotSeen": ".own",
    "OnePer": ".caps",
    "Pinned": ".places",
    "Reasons": ".reasons",
    "RuleFigures": ".rule_report",
    "RulesReport": ".rule_report",
    "Slots": ".places",
    "Spacing": ".places",
    "Where": ".where",
    "report": ".rule_report",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_face(__name__, _HOMES)
