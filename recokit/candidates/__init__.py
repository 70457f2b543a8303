"""Sources of candidates.

Neighbours: :class:`ItemKNN`, :class:`UserKNN`, :class:`SessionKNN`, :class:`RP3beta`, :class:`CoOccurrence` (sessions
and baskets), :class:`Transitions` (what came next), :class:`NextBasket` (own items beside those of like users). Linear
and spectral models: :class:`GraphFilter`, :class:`EASE`, :class:`SLIM`, :class:`PureSVD`. Factorisation: :class:`IALS`.
Neural (torch): :class:`SASRec`, :class:`TwoTower`. Vectors: :class:`AnnIndex`, with FAISS. Without a model:
:class:`Popular` (decayed counts, overall or by user segment), :class:`PopularInCategory` (in the categories of the
history), :class:`Trending`, :class:`History` (a user's own items again), :class:`Repurchase` (those that are due),
:class:`Content` (attributes and text, for new items), :class:`Text` (what a query searches for), :class:`Editorial`,
:class:`Explore` (at random, with propensities). From elsewhere: :class:`FromFunction` (a function of yours),
:class:`FromImplicit` (a model of that library). What puts them together: :class:`Merge`, :class:`Blend` (by weights
that it learns), :class:`FirstOf`, :class:`ColdStart`, :class:`Unseen`, :class:`Refreshed`. :class:`UserHistory` is the
hydrator that most of them answer from, and :func:`report` compares the recall of several sources;
:func:`advise_dimension` measures how long vectors should be. :class:`Onboarding` says what to ask a newcomer.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.candidates.ann.index import AnnIndex as AnnIndex
    from recokit.candidates.blend import Blend as Blend
    from recokit.candidates.co_occurrence import CoOccurrence as CoOccurrence
    from recokit.candidates.cold_start import ColdStart as ColdStart
    from recokit.candidates.content import Content as Content
    from recokit.candidates.dimension import (
        DimensionAdvice as DimensionAdvice,
        advise_dimension as advise_dimension,
    )
    from recokit.candidates.ease import EASE as EASE
    from recokit.candidates.editorial import Editorial as Editorial
    from recokit.candidates.explore import Explore as Explore
    from recokit.candidates.from_function import FromFunction as FromFunction
    from recokit.candidates.from_implicit import FromImplicit as FromImplicit
    from recokit.candidates.graph_filter import GraphFilter as GraphFilter
    from recokit.candidates.history import History as History
    from recokit.candidates.ials import IALS as IALS
    from recokit.candidates.item_knn import ItemKNN as ItemKNN
    from recokit.candidates.neural.sasrec import SASRec as SASRec
    from recokit.candidates.neural.two_tower import TwoTower as TwoTower
    from recokit.candidates.onboarding import Onboarding as Onboarding
    from recokit.candidates.popular import Popular as Popular
    from recokit.candidates.popular_in_category import PopularInCategory as PopularInCategory
    from recokit.candidates.pure_svd import PureSVD as PureSVD
    from recokit.candidates.refreshed import Refreshed as Refreshed
    from recokit.candidates.repurchase import Repurchase as Repurchase
    from recokit.candidates.rp3beta import RP3beta as RP3beta
    from recokit.candidates.session_knn import SessionKNN as SessionKNN
    from recokit.candidates.slim import SLIM as SLIM
    from recokit.candidates.source_report import report as report
    from recokit.candidates.text import Text as Text
    from recokit.candidates.transitions import Transitions as Transitions
    from recokit.candidates.trending import Trending as Trending
    from recokit.candidates.unseen import Unseen as Unseen
    from recokit.candidates.user_knn import NextBasket as NextBasket, UserKNN as UserKNN
    from recokit.compose.first_of import FirstOf as FirstOf
    from recokit.compose.merge import Merge as Merge
    from recokit.data.events.user_history import UserHistory as UserHistory

__getattr__, __dir__ = lazy_face(__name__)
