"""Features: blocks of columns computed strictly before each request's own time.

:class:`Standard` chooses a good set from what the data has; :class:`Assemble` joins blocks of your choice:
:class:`Item` and :class:`User` (columns of the tables), :class:`ItemActivity`, :class:`UserActivity`,
:class:`UserItem`, :class:`UserCategory`, :class:`ItemCategory` and :class:`Price` (from the event log),
:class:`SourceScores` (what the sources said), :class:`FromStore` (from a feature store) and :class:`Calendar`.
"""

from recokit.features.activity import ItemActivity, UserActivity
from recokit.features.affinity import ItemCategory, UserCategory, UserItem
from recokit.features.assemble import Assemble
from recokit.features.attributes import Calendar, Item, SourceScores, User
from recokit.features.from_store import FromStore
from recokit.features.price import Price
from recokit.features.standard import Standard

__all__ = [
    "Assemble",
    "Calendar",
    "FromStore",
    "Item",
    "ItemActivity",
    "ItemCategory",
    "Price",
    "SourceScores",
    "Standard",
    "User",
    "UserActivity",
    "UserCategory",
    "UserItem",
]
