"""Tuning: options chosen on validation data.

:func:`search` looks for options, :func:`popularity_front` measures what less popularity costs.
"""

from recokit.tuning.popularity_front import PopularityFront, popularity_front
from recokit.tuning.result import SearchResult, Trial
from recokit.tuning.search import search

__all__ = ["PopularityFront", "SearchResult", "Trial", "popularity_front", "search"]
