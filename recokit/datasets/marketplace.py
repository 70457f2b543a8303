"""A marketplace with known truth: users, items, sellers, stock, impressions with position bias, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recokit._utils.options import above, finite, require, whole
from recokit.data import DAY, Dataset, Vocabulary, timestamp
from recokit.datasets._behaviour import Policy, draw_events, draw_sessions, draw_shown
from recokit.datasets._world import Stock, Truth, draw_items, draw_sellers, draw_truth, draw_users
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

#: How examination falls with the position: position ** -0.7.
_POSITION_BIAS = 0.7


@dataclass(frozen=True, eq=False)
class Sellers:
    """What is known about sellers, by the codes of the item column ``seller``.

    Parameters
    ----------
    rating : ndarray of float64, shape (S + 1,)
        Mean rating, 1 to 5; row 0 NaN.
    fulfilment_days : ndarray of float64, shape (S + 1,)
        Mean days from order to delivery; row 0 NaN.
    return_rate : ndarray of float64, shape (S + 1,)
        Share of orders sent back, 0 to 1; row 0 NaN.
    """

    rating: FloatArray
    fulfilment_days: FloatArray
    return_rate: FloatArray


@dataclass(frozen=True, eq=False)
class Impressions:
    """What was shown, one entry for each place of each session's list, sorted by session start and position.

    Parameters
    ----------
    user, item, session, position : ndarray of int64, shape (M,)
        Codes, session number from 1, 1-based place. Entry ``i`` has the impression id ``i + 1`` in the event log.
    timestamp : ndarray of float64, shape (M,)
        When it was shown, seconds since 1970.
    propensity : ndarray of float64, shape (M,)
        Probability that the logging policy placed this item here, given the places above it.
    clicked : ndarray of bool, shape (M,)
    """

    user: IntArray
    item: IntArray
    session: IntArray
    position: IntArray
    timestamp: FloatArray
    propensity: FloatArray
    clicked: BoolArray


@dataclass(frozen=True, eq=False)
class Marketplace:
    """A generated marketplace and the truth behind it.

    Parameters
    ----------
    dataset : Dataset
        Users (``country``, ``device``, ``age``), items (``category``, ``seller``, ``price``, ``text``,
        ``launched_at``, ``age_restricted``, ``recalled``, ``consumable``, ``sponsored``, ``seller_rating``,
        ``seller_fulfilment_days``, ``seller_return_rate``), and the events view, click, add_to_cart and purchase with
        session, impression, position and propensity (0, 0 and NaN for a repurchase, which no impression led to).
    sellers : Sellers
        The sellers.
    impressions : Impressions
        What was shown, clicked or not.
    position_bias : ndarray of float64, shape (K,)
        Probability that a place is examined, first place first; independent of the item.
    user_factors, item_factors : ndarray of float32, shape (n + 1, F)
        Tastes and traits; row 0 is zero, the average.
    """

    dataset: Dataset
    sellers: Sellers
    impressions: Impressions
    position_bias: FloatArray
    user_factors: Float32Array
    item_factors: Float32Array
    _truth: Truth = field(repr=False)
    _stock: Stock = field(repr=False)

    def relevance(self, user_codes: AnyArray, item_codes: AnyArray) -> FloatArray:
        """Return the probability that a user clicks an item when examining it: the truth to be found.

        Latent factors, taste for the category, fit of the price and quality of the item. Events are drawn from exactly
        this: ``P(click) = position_bias[position - 1] * relevance``.

        Parameters
        ----------
        user_codes, item_codes : array_like of int
            Codes, broadcast against each other: ``relevance(users[:, None], items)`` is a matrix. Code 0 is average.

        Returns
        -------
        ndarray of float64
        """
        users, items = np.broadcast_arrays(np.asarray(user_codes, np.int64), np.asarray(item_codes, np.int64))
        return self._truth(users.ravel(), items.ravel()).reshape(users.shape)

    def stock_at(self, when: str | float) -> IntArray:
        """Return units in stock by item code at a time, (n_items + 1,) int64; 0 before an item's launch.

        Every seller refills each of its items in a rhythm of its own; some let it run out first.
        """
        return self._stock.units(np.arange(self.dataset.n_items + 1), np.array(timestamp(when)))


def make_marketplace(
    n_users: int = 1_000,
    n_items: int = 500,
    *,
    seed: int = 0,
    days: float = 90.0,
    start: str | float = "2025-01-01",
    n_sellers: int = 50,
    sessions_per_user: float = 8.0,
    positions: int = 10,
) -> Marketplace:
    """Generate a marketplace with known truth; the same arguments give the same marketplace.

    A logging policy fills the list of each session with available items by popularity, half of the time from the user's
    favourite category, without repeats. Users examine places with a probability that falls with the position, view
    what they examine, click by :meth:`Marketplace.relevance`, then put in the cart and buy by the seller's rating. A
    consumable is bought again in its own rhythm; anything else only once.

    Parameters
    ----------
    n_users, n_items : int
        Users are ``"user-1"`` and so on, items ``"item-1"``. About one user in 50 has no session.
    seed : int, default 0
        Seed of all draws.
    days : float, default 90
        Length of the log. A quarter of the items is launched during it.
    start : str or float, default "2025-01-01"
        When the log starts.
    n_sellers : int, default 50
        Sellers, of very different sizes.
    sessions_per_user : float, default 8
        Mean number of sessions of a user in the whole log.
    positions : int, default 10
        Places of each list.

    Returns
    -------
    Marketplace

    Raises
    ------
    ConfigurationError
        If a number is too small for a marketplace.

    Examples
    --------
    >>> market = make_marketplace(200, 100, seed=1)
    >>> market.dataset.interactions.event_names
    ('view', 'click', 'add_to_cart', 'purchase')
    >>> market.relevance([[1], [2]], [3, 4, 5]).shape
    (2, 3)
    """
    require(whole(1), n_users=n_users, n_sellers=n_sellers, positions=positions)
    require(whole(20), n_items=n_items)
    require(finite(1), days=days)
    require(above(0), sessions_per_user=sessions_per_user)
    rng, began = np.random.default_rng(seed), timestamp(start)
    sellers = draw_sellers(rng, n_sellers)
    items, item_factors, quality = draw_items(rng, n_items, sellers, began, days=days)
    users, user_factors = draw_users(rng, n_users)
    truth = draw_truth(rng, (users, user_factors), (items, item_factors), quality)
    stock = Stock.draw(rng, items.column("launched_at"))
    # Popular is what is good, what happened to catch on, and what is paid for.
    liked = np.exp(0.7 * quality + rng.normal(0, 0.5, n_items + 1))
    popularity = liked * np.where(items.column("sponsored") == 1.0, 3.0, 1.0)
    policy = Policy.build(items, popularity, stock, began, n_days=int(np.ceil(days)))
    visitor, visited = draw_sessions(rng, n_users, sessions_per_user, began, days=days)
    favourite = 1 + np.argmax(truth.taste[:, 1:], axis=1)
    shown = draw_shown(rng, policy, favourite, (visitor, visited), began=began, length=positions)
    bias: FloatArray = np.arange(1, positions + 1, dtype=np.float64) ** -_POSITION_BIAS
    log, clicked = draw_events(rng, shown, truth, items, stock=stock, bias=bias, end=began + days * DAY)
    data = Dataset(
        log,
        Vocabulary([f"user-{i}" for i in range(1, n_users + 1)]),
        Vocabulary([f"item-{i}" for i in range(1, n_items + 1)]),
        users,
        items,
    )
    impressions = Impressions(**vars(shown), clicked=clicked)
    return Marketplace(
        data,
        Sellers(*sellers),
        impressions,
        bias,
        user_factors=user_factors,
        item_factors=item_factors,
        _truth=truth,
        _stock=stock,
    )
