"""Rules: what the business asks of every list.

Filters, which always hold and fail closed: :class:`InStock`, :class:`NotOwned`, :class:`NotSeen`, :class:`Allowed`,
:class:`Blocked`. Limits on the list: :class:`MaxShare`, :class:`MaxPerGroup`. A label and its check: :class:`Disclose`.
"""

from recokit.rules.caps import MaxPerGroup, MaxShare
from recokit.rules.disclose import Disclose
from recokit.rules.lists import Allowed, Blocked
from recokit.rules.own import NotOwned, NotSeen
from recokit.rules.stock import InStock

__all__ = ["Allowed", "Blocked", "Disclose", "InStock", "MaxPerGroup", "MaxShare", "NotOwned", "NotSeen"]
