"""Features: blocks of columns computed strictly before each request's own time.

:class:`Standard` chooses a good set from what the data has; :class:`Assemble` joins blocks of your choice:
:class:`Item` and :class:`User` (columns of the tables), :class:`ItemActivity`, :class:`UserActivity`,
:class:`UserItem`, :class:`UserCategory`, :class:`ItemCategory`, :class:`Conversion` and :class:`Price` (from the event
log), :class:`Session` and :class:`Similarity` (from the request's history), :class:`SourceScores` (what the sources
said) and :class:`Calendar`. :class:`Materialized` keeps item features ready for a stretch of time.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.features.activity import ItemActivity as ItemActivity
    from recokit.features.activity import UserActivity as UserActivity
    from recokit.features.affinity import ItemCategory as ItemCategory
    from recokit.features.affinity import UserCategory as UserCategory
    from recokit.features.affinity import UserItem as UserItem
    from recokit.features.assemble import Assemble as Assemble
    from recokit.features.attributes import Calendar as Calendar
    from recokit.features.attributes import Item as Item
    from recokit.features.attributes import SourceScores as SourceScores
    from recokit.features.attributes import User as User
    from recokit.features.conversion import Conversion as Conversion
    from recokit.features.from_store import FromStore as FromStore
    from recokit.features.materialized import Materialized as Materialized
    from recokit.features.price import Price as Price
    from recokit.features.session import Session as Session
    from recokit.features.similarity import Similarity as Similarity
    from recokit.features.standard import Standard as Standard
    from recokit.features.table import Feature as Feature
    from recokit.features.table import FeatureTable as FeatureTable

_HOMES = {
    "Assemble": ".assemble",
    "Calendar": ".attributes",
    "Conversion": ".conversion",
    "Feature": ".table",
    "FeatureTable": ".table",
    "FromStore": ".from_store",
    "Item": ".attributes",
    "ItemActivity": ".activity",
    "ItemCategory": ".affinity",
    "Materialized": ".materialized",
    "Price": ".price",
    "Session": ".session",
    "Similarity": ".similarity",
    "SourceScores": ".attributes",
    "Standard": ".standard",
    "User": ".attributes",
    "UserActivity": ".activity",
    "UserCategory": ".affinity",
    "UserItem": ".affinity",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_face(__name__, _HOMES)
