"""Sources of candidates.

:class:`Popular` (decayed counts, overall or by user segment), :class:`History` (a user's own items again),
:class:`ItemKNN` (neighbours of the items in the history), :class:`AnnIndex` (nearest vectors, with FAISS),
:class:`FromFunction` (a function of yours); and what puts them together, :class:`Merge` and :class:`FirstOf`.
:class:`UserHistory` is the hydrator that several of them answer from.
"""

from recokit.candidates.ann import AnnIndex
from recokit.candidates.from_function import FromFunction
from recokit.candidates.history import History
from recokit.candidates.item_knn import ItemKNN
from recokit.candidates.popular import Popular
from recokit.compose import FirstOf, Merge
from recokit.data.history import UserHistory

__all__ = ["AnnIndex", "FirstOf", "FromFunction", "History", "ItemKNN", "Merge", "Popular", "UserHistory"]
