"""Features: blocks of columns computed strictly before each request's own time.

:class:`Standard` chooses a good set from what the data has; :class:`Assemble` joins blocks of your choice:
:class:`Item` and :class:`User` (columns of the tables), :class:`ItemActivity`, :class:`UserActivity`,
:class:`UserItem`, :class:`UserCategory`, :class:`ItemCategory`, :class:`Conversion` and :class:`Price` (from the event
log), :class:`Session` and :class:`Similarity` (from the request's history), :class:`SourceScores` (what the sources
said), :class:`FromSources` (what others think of the candidates) and :class:`Calendar`. :class:`Materialized` keeps
item features ready for a stretch of time.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.features.activity import ItemActivity as ItemActivity, UserActivity as UserActivity
    from recokit.features.affinity import (
        ItemCategory as ItemCategory,
        UserCategory as UserCategory,
        UserItem as UserItem,
    )
    from recokit.features.assemble import Assemble as Assemble
    from recokit.features.attributes import (
        Calendar as Calendar,
        Item as Item,
        SourceScores as SourceScores,
        User as User,
    )
    from recokit.features.conversion import Conversion as Conversion
    from recokit.features.from_sources import FromSources as FromSources
    from recokit.features.from_store import FromStore as FromStore
    from recokit.features.materialized import Materialized as Materialized
    from recokit.features.price import Price as Price
    from recokit.features.session import Session as Session
    from recokit.features.similarity import Similarity as Similarity
    from recokit.features.standard import Standard as Standard
    from recokit.features.table import Feature as Feature, FeatureTable as FeatureTable

__getattr__, __dir__ = lazy_face(__name__)
