"""Beyond accuracy, all lists together: how much of the catalogue is shown, and how evenly."""

from __future__ import annotations

import numpy as np

from recokit.metrics.base import CatalogueMetric, Exposure, SizedMetric
from recokit.metrics.matched_lists import MatchedLists


class CatalogCoverage(SizedMetric, CatalogueMetric):
    """Share of the catalogue that stands in the first k places of at least one list.

    Aggregate diversity; Ge, Delgado-Battenfeld and Jannach, *Beyond accuracy*, 2010. Grows with the number of
    lists: compare equal numbers of users only.

    Parameters
    ----------
    k : int
        How many places count.
    n_items : int, optional
        Size of the catalogue; by default what the matched lists say, which is the model's item vocabulary.

    Examples
    --------
    >>> CatalogCoverage(2, n_items=10)([["a", "b", "c"], ["b", "a"]])
    0.2
    """

    definition = "distinct items shown / items in the catalogue"

    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        """Return the share of ``n_items`` with an exposure above 0; the unknown item, code 0, does not count.

        Raises
        ------
        ConfigurationError
            If the size of the catalogue is not known.
        """
        return float(np.count_nonzero(exposure.counts[1:]) / self.size(n_items))


class Gini(SizedMetric, CatalogueMetric):
    """Gini coefficient of how often each item of the catalogue is shown: 0 if all are shown alike, 1 if one gets all.

    With exposures ascending, ``sum((2 i - n - 1) * x_i) / (n * sum(x))`` for i from 1 to n, all items of the catalogue.
    Castells, Hurley and Vargas, *Novelty and diversity in recommender systems*, 2015; Fleder and Hosanagar,
    *Blockbuster culture's next rise or fall*, 2009. NaN where nothing is shown.

    Parameters
    ----------
    k : int
        How many places count.
    n_items : int, optional
        Size of the catalogue; by default what the matched lists say.

    Examples
    --------
    Of four items one is shown twice, one once: (-3 * 0 - 1 * 0 + 1 * 1 + 3 * 2) / (4 * 3).

    >>> round(Gini(2, n_items=4)([["a", "b"], ["a"]]), 4)
    0.5833
    """

    definition = "Gini coefficient of exposure over the catalogue: 0 equal, 1 one item only"

    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        """Return the coefficient; ConfigurationError if the size of the catalogue is not known."""
        size = self.size(n_items)
        shown = np.sort(exposure.counts[1:][exposure.counts[1:] > 0])
        place = np.arange(size - len(shown) + 1, size + 1)  # items never shown add nothing
        total = shown.sum()
        return float(((2 * place - size - 1) * shown).sum() / (size * total)) if total else float("nan")


class Entropy(CatalogueMetric):
    """Shannon entropy, in bits, of how often items are shown.

    ``-sum(p_i * log2(p_i))`` over items, p the item's share of all places; at most log2 of the catalogue's size.
    Shannon, *A mathematical theory of communication*, 1948; as a measure of sales diversity in Adomavicius and Kwon,
    *Improving aggregate recommendation diversity*, 2012. NaN where nothing is shown.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    Four items, one of them in half of the places: 0.5 * 1 + 3 / 6 * log2(6).

    >>> round(Entropy(2)([["a", "b"], ["a", "c"], ["a", "d"]]), 4)
    1.7925
    """

    definition = "entropy of exposure over items, in bits"

    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        """Return the entropy; the size of the catalogue is not needed."""
        shown = exposure.counts[1:][exposure.counts[1:] > 0]
        share = shown / shown.sum()
        return float(-(share * np.log2(share)).sum()) if len(share) else float("nan")


class Personalization(CatalogueMetric):
    """How different the lists of different users are: 1 without a common item, 0 if all see the same k items.

    The mean over pairs of users of ``1 - common items / k``. Zhou et al., *Solving the apparent diversity-accuracy
    dilemma of recommender systems*, 2010 (inter-user diversity). An item counts once in a list. Users with an empty
    list are left out; NaN below two lists.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    Three pairs; one has one item of two in common.

    >>> round(Personalization(2)([["a", "b"], ["b", "c"], ["d", "e"]]), 4)
    0.8333
    """

    definition = "mean over pairs of users of 1 - common items / k"

    def exposure(self, matched: MatchedLists) -> Exposure:
        """Count in how many lists each item code stands in the first k places."""
        row, item = matched.top(self.k)
        width = int(item.max(initial=0)) + 1
        once = np.unique(row * width + item) % width
        return Exposure(
            np.bincount(once, minlength=1).astype(np.float64), int(np.count_nonzero(matched.lists.counts))
        )

    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        """Return the mean over pairs: an item in c lists is common to ``c * (c - 1) / 2`` pairs."""
        n, shown = exposure.n_lists, exposure.counts[1:]
        common = (shown * (shown - 1.0)).sum()
        return float(1.0 - common / (n * (n - 1.0) * self.k)) if n > 1 else float("nan")
