"""Rules: what the business asks of every list.

Filters, which always hold and fail closed: :class:`InStock`, :class:`NotOwned`, :class:`NotSeen`, :class:`Allowed`,
:class:`Blocked`, :class:`Where`, :class:`Asked` (what a query asks for), :class:`FrequencyCap`,
:class:`FromFunction`. Scorers that move items by a bounded
number of places: :class:`Boost`, :class:`Bury`, :class:`FreshnessBoost`. Limits on the list: :class:`MaxShare`,
:class:`MaxPerGroup`, :class:`MinPerGroup`, :class:`OnePer`, :class:`Spacing`, :class:`Exclusive`, and places in it:
:class:`Pinned`, :class:`Slots`. A label and its check: :class:`Disclose`. Why an item is there: :class:`Reasons`. What
each did in a run: :func:`report`.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.rules.asked import Asked as Asked
    from recokit.rules.boost import Boost as Boost, Bury as Bury, FreshnessBoost as FreshnessBoost
    from recokit.rules.caps import (
        MaxPerGroup as MaxPerGroup,
        MaxShare as MaxShare,
        MinPerGroup as MinPerGroup,
        OnePer as OnePer,
    )
    from recokit.rules.disclose import Disclose as Disclose
    from recokit.rules.exclusive import Exclusive as Exclusive
    from recokit.rules.frequency import FrequencyCap as FrequencyCap
    from recokit.rules.lists import Allowed as Allowed, Blocked as Blocked
    from recokit.rules.own import NotOwned as NotOwned, NotSeen as NotSeen
    from recokit.rules.places import Pinned as Pinned, Slots as Slots, Spacing as Spacing
    from recokit.rules.reasons import REASON_TEMPLATES as REASON_TEMPLATES, Reasons as Reasons
    from recokit.rules.rule_report import (
        RuleFigures as RuleFigures,
        RulesReport as RulesReport,
        report as report,
    )
    from recokit.rules.stock import InStock as InStock
    from recokit.rules.where import FromFunction as FromFunction, Where as Where

__getattr__, __dir__ = lazy_face(__name__)
