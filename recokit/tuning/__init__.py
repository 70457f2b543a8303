"""Tuning: options chosen on validation data, which is cut from the training data.

:func:`search` fits and compares settings; :func:`popularity_front` evaluates one fitted pipeline at several strengths
of its popularity normalisation.
"""

from recokit.tuning.popularity_front import PopularityFront, popularity_front
from recokit.tuning.result import SearchResult, Trial
from recokit.tuning.search import search

__all__ = ["PopularityFront", "SearchResult", "Trial", "popularity_front", "search"]
