"""Features: blocks of columns computed strictly before each request's own time.

:class:`Standard` chooses a good set from what the data has; :class:`Assemble` joins blocks of your choice:
:class:`Item` and :class:`User` (columns of the tables), :class:`ItemActivity`, :class:`UserActivity`,
:class:`UserItem`, :class:`UserCategory`, :class:`ItemCategory`, :class:`Conversion` and :class:`Price` (from the event
log), :class:`Session` and :class:`Similarity` (from the request's history), :class:`SourceScores` (what the sources
said) and :class:`Calendar`. :class:`Materialized` keeps item features ready for a stretch of time.
"""

from recokit.features.activity import ItemActivity, UserActivity
from recokit.features.affinity import ItemCategory, UserCategory, UserItem
from recokit.features.assemble import Assemble
from recokit.features.attributes import Calendar, Item, SourceScores, User
from recokit.features.conversion import Conversion
from recokit.features.from_store import FromStore
from recokit.features.materialized import Materialized
from recokit.features.price import Price
from recokit.features.session import Session
from recokit.features.similarity import Similarity
from recokit.features.standard import Standard
from recokit.features.table import Feature, FeatureTable

__all__ = [
    "Assemble",
    "Calendar",
    "Conversion",
    "Feature",
    "FeatureTable",
    "FromStore",
    "Item",
    "ItemActivity",
    "ItemCategory",
    "Materialized",
    "Price",
    "Session",
    "Similarity",
    "SourceScores",
    "Standard",
    "User",
    "UserActivity",
    "UserCategory",
    "UserItem",
]
