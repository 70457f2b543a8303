"""Behaviour in the marketplace: who is shown what by which policy, and what they do with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._kernels.segments import multi_arange
from recokit.data import DAY, EVENT_WEIGHTS, Interactions, Table
from recokit.datasets._world import CATEGORIES, Stock, Truth
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

EVENTS = ("view", "click", "add_to_cart", "purchase")
#: Chance that a click leads to a cart, and a cart to a purchase at a seller rated 5.
_CART, _PURCHASE = 0.4, 0.8
#: Share of lists' places filled from the user's favourite category.
_PERSONAL = 0.5
#: Chance that a consumable is bought once more.
_AGAIN = 0.7
_BLOCK = 1 << 15


@dataclass(frozen=True, eq=False)
class Shown:
    """Places of the sessions' lists, (M,) each, by session start and position."""

    user: IntArray
    item: IntArray
    session: IntArray
    position: IntArray
    timestamp: FloatArray
    propensity: FloatArray


@dataclass(frozen=True, eq=False)
class Policy:
    """The logging policy: items by popularity among those in stock when the day starts, without repeats.

    Each place is filled from the user's favourite category with probability 1/2, else from the whole catalogue.

    Parameters
    ----------
    order : ndarray of int64, shape (n,)
        Item codes by category.
    cumulated : ndarray of float64, shape (D, n + 1)
        Cumulated probability in that order for each day, from 0 to 1.
    bounds : ndarray of int64, shape (C + 2,)
        Where each category starts in the order.
    """

    order: IntArray
    cumulated: FloatArray
    bounds: IntArray

    @classmethod
    def build(
        cls, items: Table, popularity: FloatArray, stock: Stock, began: float, *, n_days: int
    ) -> Policy:
        """Cumulate popularity (n + 1,) of the items in stock at the start of each day."""
        category = items.column("category")
        order = 1 + np.argsort(category[1:], kind="stable")
        starts = began + DAY * np.arange(n_days)
        available = stock.units(order[None, :], starts[:, None]) > 0
        cumulated = np.zeros((n_days, len(order) + 1))
        np.cumsum(popularity[order] * available, axis=1, out=cumulated[:, 1:])
        cumulated /= cumulated[:, -1:]
        return cls(order, cumulated, np.searchsorted(category[order], np.arange(len(CATEGORIES) + 2)))

    def lists(
        self, rng: np.random.Generator, day: IntArray, favourite: IntArray, length: int
    ) -> tuple[IntArray, FloatArray]:
        """Draw a list for each session; items and propensities, both (S, length), 0 where the shop is short of items.

        Drawing with replacement and skipping repeats is drawing without replacement: the k-th new item has the
        probability ``p / (1 - sum of p above)``, whatever the number of repeats skipped.
        """
        low, high = (
            self.cumulated[day, self.bounds[favourite]],
            self.cumulated[day, self.bounds[favourite + 1]],
        )
        personal = np.where(high > low, _PERSONAL, 0.0)
        n_draws = 3 * length
        own = rng.random((len(day), n_draws)) < personal[:, None]
        target = rng.random((len(day), n_draws)) * (1 - 1e-9)
        target = np.where(own, low[:, None] + target * (high - low)[:, None], target)
        width = self.cumulated.shape[1]
        # One search for all days: day d's probabilities lie between 2 d and 2 d + 1.
        flat = (self.cumulated + 2.0 * np.arange(len(self.cumulated))[:, None]).ravel()
        place = np.searchsorted(flat, target + 2.0 * day[:, None], side="right") - 1 - width * day[:, None]
        place = _first_distinct(place, length)
        filled = place >= 0
        chance = self.cumulated[day[:, None], place + 1] - self.cumulated[day[:, None], place]
        in_favourite = (place >= self.bounds[favourite][:, None]) & (
            place < self.bounds[favourite + 1][:, None]
        )
        share = np.divide(personal, high - low, out=np.zeros(len(day)), where=high > low)
        p = np.where(filled, chance * ((1 - personal)[:, None] + in_favourite * share[:, None]), 0.0)
        above = np.cumsum(p, axis=1) - p
        # Nothing is left above 0 behind the end of a list: what would be divided there is not a propensity.
        propensity = np.divide(p, 1 - above, out=np.zeros(p.shape), where=filled)
        return np.where(filled, self.order[place], 0), np.minimum(propensity, 1.0)


def draw_sessions(
    rng: np.random.Generator, n_users: int, mean: float, began: float, *, days: float
) -> tuple[IntArray, FloatArray]:
    """Return user and start of each session, in time order; few users are busy, 1 in 50 never comes."""
    activity = np.exp(rng.normal(0, 0.8, n_users)) * (rng.random(n_users) > 0.02)
    counts = rng.poisson(mean * activity / max(activity.mean(), 1e-12))
    user = np.repeat(np.arange(1, n_users + 1), counts)
    hour = rng.normal(20, 4, len(user)) % 24
    start = began + np.minimum(np.floor(rng.uniform(0, days, len(user))) * DAY + hour * 3_600, days * DAY - 1)
    order = np.argsort(start, kind="stable")
    return user[order], start[order]


def draw_shown(
    rng: np.random.Generator,
    policy: Policy,
    favourite: IntArray,
    sessions: tuple[IntArray, FloatArray],
    *,
    began: float,
    length: int,
) -> Shown:
    """Fill the list of each session, given their users and starts."""
    user, start = sessions
    item = np.zeros((len(user), length), np.int64)
    propensity = np.zeros((len(user), length))
    day = ((start - began) // DAY).astype(np.int64)
    for first in range(0, len(user), _BLOCK):
        block = slice(first, first + _BLOCK)
        item[block], propensity[block] = policy.lists(rng, day[block], favourite[user[block]], length)
    session, place = np.nonzero(item)
    return Shown(
        user=user[session],
        item=item[session, place],
        session=session + 1,
        position=place + 1,
        timestamp=start[session] + 3.0 * place,
        propensity=propensity[session, place],
    )


def draw_events(
    rng: np.random.Generator,
    shown: Shown,
    truth: Truth,
    items: Table,
    *,
    stock: Stock,
    bias: FloatArray,
    end: float,
) -> tuple[Interactions, BoolArray]:
    """Draw what users do with what they are shown; the event log in time order, and which impressions were clicked."""
    m = len(shown.user)
    examined = rng.random(m) < bias[shown.position - 1]
    clicked = examined & (rng.random(m) < truth(shown.user, shown.item))
    carted = clicked & (rng.random(m) < _CART)
    rating = items.column("seller_rating")[shown.item]
    bought = carted & (rng.random(m) < _PURCHASE * rating / 5.0)
    consumable = items.column("consumable") == 1.0
    bought = bought & (consumable[shown.item] | _first_of_pair(shown.user, shown.item, bought))
    steps = [np.flatnonzero(done) for done in (examined, clicked, carted, bought)]
    impression = np.concatenate(steps)
    event = np.repeat(np.arange(4), [len(step) for step in steps])
    delay = np.array([0.0, 2.0, 30.0, 120.0])[event]
    again = _repurchases(rng, shown, np.flatnonzero(bought & consumable[shown.item]), stock, end)
    none = np.zeros(len(again[0]), np.int64)
    user = np.concatenate([shown.user[impression], again[0]])
    item = np.concatenate([shown.item[impression], again[1]])
    event = np.concatenate([event, none + 3])
    time = np.concatenate([shown.timestamp[impression] + delay, again[2]])
    order = np.argsort(time, kind="stable")
    weight = np.array([EVENT_WEIGHTS[name] for name in EVENTS], np.float32)
    price = np.where(event == 3, items.column("price")[item], np.nan)
    log = Interactions(
        user=user[order],
        item=item[order],
        timestamp=time[order],
        event=event[order],
        weight=weight[event[order]],
        value=price[order].astype(np.float32),
        event_names=EVENTS,
        session=np.concatenate([shown.session[impression], none])[order],
        impression=np.concatenate([impression + 1, none])[order],
        position=np.concatenate([shown.position[impression], none])[order],
        propensity=np.concatenate([shown.propensity[impression], np.full(len(none), np.nan)])[order],
    )
    return log, clicked


def _repurchases(
    rng: np.random.Generator, shown: Shown, first: IntArray, stock: Stock, end: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return user, item and time of purchases that follow the given ones, in each item's rhythm, if in stock."""
    rhythm = rng.uniform(7, 35, len(stock.period)) * DAY
    times = rng.geometric(1 - _AGAIN, len(first)) - 1
    source, step = np.repeat(first, times), multi_arange(np.ones(len(first), np.int64), times)
    user, item = shown.user[source], shown.item[source]
    when = shown.timestamp[source] + rhythm[item] * (step + rng.normal(0, 0.1, len(source)))
    kept = (when < end) & (when > shown.timestamp[source] + DAY) & (stock.units(item, when) > 0)
    return user[kept], item[kept], when[kept]


def _first_of_pair(user: IntArray, item: IntArray, done: BoolArray) -> BoolArray:
    """Tell which of the marked entries are the first of their (user, item)."""
    marked = np.flatnonzero(done)
    key = user[marked] * (int(item.max(initial=0)) + 1) + item[marked]
    first = np.zeros(len(done), np.bool_)
    first[marked[np.unique(key, return_index=True)[1]]] = True
    return first


def _first_distinct(values: AnyArray, length: int) -> IntArray:
    """Return the first ``length`` distinct values of each row, in order, -1 where a row has fewer."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    repeated = np.zeros(values.shape, np.bool_)
    np.put_along_axis(repeated[:, :], order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    rank = np.cumsum(~repeated, axis=1) - 1
    row, column = np.nonzero(~repeated & (rank < length))
    out = np.full((len(values), length), -1, np.int64)
    out[row, rank[row, column]] = values[row, column]
    return out
