"""Event types: what a name in the log means, and what an event of it weighs.

A shop names its events as it likes. Names that are common are read as one of a few kinds; what is not common has to be
declared, since a guess would count a dislike as a purchase.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from recokit._utils.options import finite, shown
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

Role = Literal["signal", "shown", "negative", "seen"]

#: Weight of each kind of event. Of the implicit signals only the order counts; what weighs 0 is no signal.
EVENT_WEIGHTS: Mapping[str, float] = {
    "purchase": 1.0,
    "add_to_cart": 0.5,
    "like": 0.5,
    "play": 0.5,
    "click": 0.2,
    "view": 0.1,
    "impression": 0.0,
    "dislike": 0.0,
    "remove_from_cart": 0.0,
    "refund": 0.0,
}

#: Kinds that speak against an item, and the kind that says it was shown.
_NEGATIVE = ("dislike", "remove_from_cart", "refund")
_SHOWN = "impression"

#: The kinds of which each takes back the user's events on the item: None for all.
_TAKES_BACK: Mapping[str, tuple[str, ...] | None] = {
    "dislike": None,
    "refund": None,
    "remove_from_cart": ("add_to_cart",),
}

#: Other names of each kind, without the words that say nothing.
_SYNONYMS: Mapping[str, str] = {
    "purchase": "purchase purchased purchases purchasecomplete purchasecompleted buy buys bought buying order ordered "
    "orders ordercompleted ordercomplete ordered orderplaced placeorder transaction transactions sale sales sold "
    "conversion converted checkoutcomplete checkoutcompleted completepurchase completeorder booking booked "
    "reservation rent rental rented paid payment",
    "add_to_cart": "addtocart addedtocart addcart added cart carts cartadd tocart incart atc addtobasket "
    "addedtobasket basket basketadd addtobag addedtobag bag checkout begincheckout initiatecheckout startcheckout "
    "checkoutstarted",
    "like": "like liked likes love loved heart favorite favorites favorited favourite favourites favourited fav "
    "faved wishlist wishlisted wishlistadd addtowishlist addedtowishlist addtofavorites addtofavourites "
    "addedtofavorites addedtofavourites save saved wish bookmark bookmarked thumbsup thumbup upvote upvoted share "
    "shared follow followed subscribe subscribed pin pinned",
    "play": "play played plays playback listen listened listens watch watched watches stream streamed streams read "
    "reads download downloaded downloads install installed installs consume consumed complete completed finish "
    "finished",
    "click": "click clicked clicks clickout clickthrough clk tap tapped taps select selected selectcontent open "
    "opened",
    "view": "view viewed views pageview pageviews pv detail details detailview detailpageview viewdetail viewdetails "
    "visit visited visits browse browsed look looked pageviewed pagevisit viewcontent",
    "impression": "impression impressions imp imps exposure exposures exposed shown show shows display displayed "
    "displays viewlist listview listviewed viewsearchresults searchresult searchresults served rendered recommended",
    "dislike": "dislike disliked dislikes thumbsdown thumbdown downvote downvoted notinterested notinteresting hide "
    "hid hidden block blocked skip skipped skips dismiss dismissed unlike unliked unfavorite unfavorited "
    "unfavourite unfavourited unfollow unfollowed unsubscribe unsubscribed negative removefromwishlist "
    "removedfromwishlist wishlistremove removefromfavorites removefromfavourites uninstall uninstalled reject "
    "rejected",
    "remove_from_cart": "removefromcart removedfromcart removefrombasket removedfrombasket removefrombag "
    "removedfrombag removecart cartremove cartremoved basketremove removed remove deletefromcart",
    "refund": "refund refunded refunds return returned returns cancel canceled cancelled cancellation cancelorder "
    "ordercancelled ordercanceled orderrefunded orderreturned chargeback purchasecancelled purchasecanceled",
}
_KIND_OF = {name: kind for kind, names in _SYNONYMS.items() for name in names.split()}
#: Words that say nothing of the kind.
_FILLERS = {"product", "products", "item", "items", "event", "events", "user", "the", "an", "a"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")

_TYPES_SHOWN = 5


@lru_cache(maxsize=4096)
def kind_of(name: str) -> str | None:
    """Return the kind that an event's name stands for, such as ``"purchase"``; None where it is not common.

    Case, separators and words such as "product" or "item" do not count.

    Examples
    --------
    >>> kind_of("addToCart"), kind_of("Order Completed"), kind_of("detail-page-view"), kind_of("teleport")
    ('add_to_cart', 'purchase', 'view', None)
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    return _KIND_OF.get("".join(word for word in words if word not in _FILLERS)) or _KIND_OF.get(
        "".join(words)
    )


def names_of(names: Sequence[str], wanted: str) -> tuple[str, ...]:
    """Return the names among a log's that a wanted name means: itself, or all of the kind that it names.

    Examples
    --------
    >>> names_of(("view", "transaction"), "purchase"), names_of(("order", "buy"), "buy")
    (('transaction',), ('buy',))
    """
    if wanted in names:
        return (wanted,)
    kind = kind_of(wanted)
    return () if kind is None else tuple(name for name in names if kind_of(name) == kind)


def codes_of(names: Sequence[str], wanted: Iterable[str]) -> IntArray:
    """Return the codes, ascending, of all names of a log that the wanted ones mean."""
    codes = {names.index(meant) for name in wanted for meant in names_of(names, name)}
    return np.array(sorted(codes), np.int64)


def shown_names(names: Iterable[str]) -> str:
    """Return names as messages have them: short, and not too many."""
    listed = [_short(name) for name in names]
    return ", ".join(listed[:_TYPES_SHOWN]) + (", ..." if len(listed) > _TYPES_SHOWN else "")


def require_types(names: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise ConfigurationError for a wanted name that means none of a log's."""
    for name in wanted:
        if not names_of(names, name):
            raise ConfigurationError(
                f"found no event type {shown(name)} in the log; {did_you_mean(name, names)}"
            )


def usual_weights(names: Iterable[str], given: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the weight of each name that is given or common; the others are left out."""
    table = {**EVENT_WEIGHTS, **{str(name): weight for name, weight in _checked(given).items()}}
    weights = {name: table.get(name, table.get(kind_of(name) or "")) for name in names}
    return {name: float(weight) for name, weight in weights.items() if weight is not None}


def _checked(given: Mapping[str, float] | None) -> Mapping[str, float]:
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise DataError(
            f"found event_weights={shown(given)}; expected a weight for each name, such as {{'purchase': 1.0}}"
        )
    for name, weight in given.items():
        if not finite(0).holds(weight):
            raise DataError(
                f"found event_weights={{{shown(name)}: {shown(weight)}}}; expected finite weights of at least 0; "
                "hint: 0 for events that are no signal, or speak against an item"
            )
    return given


def event_weights(names: Sequence[str], given: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return what an event of each name weighs: as given, else as its kind.

    Parameters
    ----------
    names : sequence of str
        Of the log.
    given : mapping of str to float, optional
        Weights of names, or of kinds; 0 for what is no signal.

    Raises
    ------
    DataError
        If a name is not common and not given, or a weight is negative or not finite. The message has what to write.

    Examples
    --------
    >>> event_weights(["addtocart", "dislike", "teleport"], {"teleport": 2.0})
    {'addtocart': 0.5, 'dislike': 0.0, 'teleport': 2.0}
    """
    weights = usual_weights(names, given)
    unknown = [name for name in names if name not in weights]
    if unknown:
        write = ", ".join(f"{shown(name)}: 1.0" for name in unknown[:_TYPES_SHOWN])
        more = ", ..." if len(unknown) > _TYPES_SHOWN else ""
        raise DataError(
            f"found {len(unknown)} event types of unknown weight; expected {', '.join(EVENT_WEIGHTS)} or a common "
            f"name of these; hint: event_weights={{{write}{more}}}, with 0 for what is no signal"
        )
    return weights


@dataclass(frozen=True)
class EventType:
    """One type of event in a log.

    Parameters
    ----------
    name : str
        As the log has it.
    role : {"signal", "shown", "negative", "seen"}
        What its events tell: that a user takes an item; that it was shown; that the user is against it; or, of an event
        that weighs 0, only that the user knows it.
    n_events : int
    lowest, highest : float
        Their weights.
    """

    name: str
    role: Role
    n_events: int
    lowest: float
    highest: float

    @property
    def weight(self) -> str:
        """The weight, or from which to which, as text."""
        return f"{self.lowest:g}" if self.lowest == self.highest else f"{self.lowest:g} to {self.highest:g}"

    def __str__(self) -> str:
        return f"{_short(self.name)} {self.weight} ({self.role})"


def role_of(name: str, highest: float) -> Role:
    """Return what events of a name tell, by their largest weight."""
    if highest > 0:
        return "signal"
    kind = kind_of(name)
    return "negative" if kind in _NEGATIVE else "shown" if kind == _SHOWN else "seen"


def event_types(names: Sequence[str], event: IntArray, weight: Float32Array) -> tuple[EventType, ...]:
    """Return the types of a log that has events of them, as its names are ordered.

    Parameters
    ----------
    names : sequence of str
    event : ndarray of int64, shape (M,)
        Code of each event.
    weight : ndarray of float32, shape (M,)
    """
    count = np.bincount(event, minlength=len(names))
    lowest, highest = np.full(len(names), np.inf, np.float32), np.full(len(names), -np.inf, np.float32)
    np.minimum.at(lowest, event, weight)
    np.maximum.at(highest, event, weight)
    return tuple(
        EventType(name, role_of(name, float(high)), int(n), _plain(low), _plain(high))
        for name, n, low, high in zip(names, count.tolist(), lowest, highest, strict=True)
        if n
    )


def without_signal(
    names: Sequence[str], event: IntArray, weight: Float32Array, given: Iterable[str]
) -> Float32Array:
    """Return weights of a column, 0 for events of types that are no signal and are not given."""
    declared = {*map(str, given)}
    no_signal = [name not in declared and kind_of(name) in (_SHOWN, *_NEGATIVE) for name in names]
    return np.where(np.array([*no_signal, False])[event], np.float32(0), weight)


@lru_cache(maxsize=256)
def negative_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a log that commonly speak against an item.

    Examples
    --------
    >>> negative_names(("impression", "returned", "purchase"))
    ('returned',)
    """
    return tuple(name for name in names if kind_of(name) in _NEGATIVE)


def taken_back(
    names: Sequence[str], group: IntArray, time: FloatArray, event: IntArray, weight: Float32Array
) -> BoolArray | None:
    """Tell which events the same user took back at their time or later; None where no event is against anything.

    A refund or a dislike takes back all that its user did with the item until then, taking it from the cart what put it
    there; what the user does with the item later counts again. A negative name that was given a weight above 0 takes
    nothing back.

    Parameters
    ----------
    names : sequence of str
        Event types of the log.
    group : ndarray of int64, shape (M,)
        The user and item of each event, as one number; negative where the user is nobody in particular.
    time : ndarray of float64, shape (M,)
    event : ndarray of int64, shape (M,)
    weight : ndarray of float32, shape (M,)

    Returns
    -------
    ndarray of bool, shape (M,), or None

    Examples
    --------
    >>> names, group, time = ("refund", "purchase"), np.array([7, 7, 7]), np.array([1.0, 2.0, 3.0])
    >>> taken_back(names, group, time, np.array([1, 0, 1]), np.array([1, 0, 1], np.float32)).tolist()
    [True, True, False]
    """
    kinds = [kind_of(name) for name in names]
    taken: BoolArray | None = None
    for kind, of_kinds in _TAKES_BACK.items():
        if kind not in kinds:
            continue
        codes = [code for code, one in enumerate(kinds) if one == kind]
        against = np.flatnonzero(np.isin(event, codes) & (weight <= 0) & (group >= 0))
        if not len(against):
            continue
        groups, which = np.unique(group[against], return_inverse=True)
        last = np.full(len(groups), -np.inf)
        np.maximum.at(last, which, time[against])
        place = np.minimum(np.searchsorted(groups, group), len(groups) - 1)
        hit = (groups[place] == group) & (time <= last[place])
        if of_kinds is not None:
            hit &= np.isin(event, [code for code, one in enumerate(kinds) if one in of_kinds])
        taken = hit if taken is None else taken | hit
    return taken


def _plain(weight: np.float32) -> float:
    return float(f"{weight:.6g}")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
