"""Sources of candidates.

Neighbours: :class:`ItemKNN`, :class:`RP3beta`, :class:`CoOccurrence` (sessions and baskets), :class:`Transitions` (what
came next). Linear and spectral models: :class:`GraphFilter`, :class:`EASE`, :class:`SLIM`, :class:`PureSVD`.
Factorisation: :class:`IALS`. Neural (torch): :class:`SASRec`, :class:`TwoTower`. Vectors: :class:`AnnIndex`, with
FAISS. Without a model: :class:`Popular` (decayed counts, overall or by user segment), :class:`PopularInCategory` (in
the categories of the history), :class:`Trending`, :class:`History` (a user's own items again), :class:`Repurchase`
(those that are due), :class:`Content` (attributes and text, for new items), :class:`Editorial`, :class:`Explore` (at
random, with propensities). From elsewhere: :class:`FromFunction` (a function of yours), :class:`FromImplicit` (a model
of that library). What puts them together: :class:`Merge`, :class:`FirstOf`, :class:`ColdStart`, :class:`Unseen`,
:class:`Refreshed`. :class:`UserHistory` is the hydrator that most of them answer from, and :func:`report` tells what
each of several finds; :func:`advise_dimension` measures how long vectors should be.
"""

from recokit.candidates.ann.index import AnnIndex
from recokit.candidates.co_occurrence import CoOccurrence
from recokit.candidates.cold_start import ColdStart
from recokit.candidates.content import Content
from recokit.candidates.dimension import DimensionAdvice, advise_dimension
from recokit.candidates.ease import EASE
from recokit.candidates.editorial import Editorial
from recokit.candidates.explore import Explore
from recokit.candidates.from_function import FromFunction
from recokit.candidates.from_implicit import FromImplicit
from recokit.candidates.graph_filter import GraphFilter
from recokit.candidates.history import History
from recokit.candidates.ials import IALS
from recokit.candidates.item_knn import ItemKNN
from recokit.candidates.neural.sasrec import SASRec
from recokit.candidates.neural.two_tower import TwoTower
from recokit.candidates.popular import Popular
from recokit.candidates.popular_in_category import PopularInCategory
from recokit.candidates.pure_svd import PureSVD
from recokit.candidates.refreshed import Refreshed
from recokit.candidates.report import report
from recokit.candidates.repurchase import Repurchase
from recokit.candidates.rp3beta import RP3beta
from recokit.candidates.slim import SLIM
from recokit.candidates.transitions import Transitions
from recokit.candidates.trending import Trending
from recokit.candidates.unseen import Unseen
from recokit.compose.first_of import FirstOf
from recokit.compose.merge import Merge
from recokit.data.events.user_history import UserHistory

__all__ = [
    "EASE",
    "IALS",
    "SLIM",
    "AnnIndex",
    "CoOccurrence",
    "ColdStart",
    "Content",
    "DimensionAdvice",
    "Editorial",
    "Explore",
    "FirstOf",
    "FromFunction",
    "FromImplicit",
    "GraphFilter",
    "History",
    "ItemKNN",
    "Merge",
    "Popular",
    "PopularInCategory",
    "PureSVD",
    "RP3beta",
    "Refreshed",
    "Repurchase",
    "SASRec",
    "Transitions",
    "Trending",
    "TwoTower",
    "Unseen",
    "UserHistory",
    "advise_dimension",
    "report",
]
