"""Draws of the marketplace generator: sellers, items, users, the true relevance, and stock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.data import DAY, Categorical, Table, Vocabulary
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_COUNTRIES = {"DE": 0.35, "FR": 0.25, "US": 0.25, "BR": 0.10, "JP": 0.05}
_DEVICES = {"mobile": 0.6, "desktop": 0.3, "tablet": 0.1}
#: Category: median price, whether it is consumable, whether it is restricted to adults.
CATEGORIES = {
    "grocery": (6.0, True, False),
    "electronics": (180.0, False, False),
    "beauty": (18.0, True, False),
    "books": (15.0, False, False),
    "wine": (14.0, True, True),
    "garden": (45.0, False, False),
    "pets": (22.0, True, False),
    "games": (40.0, False, False),
}
_TRAITS = np.array(
    [
        ("plain", "bold"), ("light", "heavy"), ("classic", "modern"), ("small", "large"),
        ("soft", "firm"), ("local", "imported"), ("simple", "premium"), ("quiet", "lively"),
    ]
)  # fmt: skip
_N_FACTORS = len(_TRAITS)
#: Logit of the relevance of an average pair; with everything else it makes about one examined item in seven clicked.
_BASE = -2.6
_BLOCK = 1 << 18


@dataclass(frozen=True, eq=False)
class Truth:
    """The true probability of a click on an examined item, from these parts; row 0 of each is the average."""

    user_factors: Float32Array
    item_factors: Float32Array
    taste: Float32Array
    category: IntArray
    price_level: Float32Array
    price_wanted: Float32Array
    price_sensitivity: Float32Array
    quality: Float32Array

    def __call__(self, user: IntArray, item: IntArray) -> FloatArray:
        """Return the probability for pairs of codes (N,)."""
        out = np.empty(len(user))
        for start in range(0, len(user), _BLOCK):
            block = slice(start, start + _BLOCK)
            out[block] = self._block(user[block], item[block])
        return out

    def _block(self, user: IntArray, item: IntArray) -> FloatArray:
        match = np.einsum("nf,nf->n", self.user_factors[user], self.item_factors[item]) / np.sqrt(_N_FACTORS)
        misfit = (self.price_level[item] - self.price_wanted[user]) ** 2
        logit = _BASE + 1.3 * match + self.taste[user, self.category[item]] + 0.7 * self.quality[item]
        logit = logit.astype(np.float64) - 0.5 * self.price_sensitivity[user] * misfit
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))


@dataclass(frozen=True, eq=False)
class Stock:
    """Stock that runs down from a capacity and is refilled in a rhythm; row 0 is never in stock."""

    capacity: FloatArray
    demand: FloatArray
    period: FloatArray
    phase: FloatArray
    launched_at: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, launched_at: FloatArray) -> Stock:
        n = len(launched_at)
        period, capacity = rng.uniform(7, 30, n), rng.integers(5, 100, n).astype(np.float64)
        capacity[0] = 0.0
        launched_at = np.where(np.isnan(launched_at), np.inf, launched_at)
        # Demand over a period exceeds the capacity of 3 items in 7: those run out before the next delivery.
        return cls(
            capacity,
            capacity * rng.uniform(0.6, 1.3, n) / period,
            period,
            rng.uniform(0, period),
            launched_at,
        )

    def units(self, item: IntArray, when: AnyArray) -> IntArray:
        """Return units in stock of items (N,) at times (N,) or one time."""
        age = (when - self.launched_at[item]) / DAY
        since_delivery = (np.maximum(age, 0.0) + self.phase[item]) % self.period[item]
        left = np.floor(self.capacity[item] - self.demand[item] * since_delivery).astype(np.int64)
        return np.where(age >= 0, np.maximum(left, 0), 0)


def draw_sellers(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return rating, fulfilment days and return rate, (n + 1,) each; good sellers are good in all three."""
    grade = rng.normal(size=n)
    rating = np.clip(4.1 + 0.5 * grade + 0.15 * rng.normal(size=n), 1.0, 5.0)
    days = np.exp(1.0 - 0.3 * grade + 0.2 * rng.normal(size=n))
    returns = 1.0 / (1.0 + np.exp(2.7 + 0.5 * grade + 0.3 * rng.normal(size=n)))
    unknown = np.full((3, 1), np.nan)
    rows = np.concatenate([unknown, np.stack([rating, days, returns])], axis=1)
    return rows[0], rows[1], rows[2]


def draw_items(
    rng: np.random.Generator,
    n: int,
    sellers: tuple[FloatArray, FloatArray, FloatArray],
    began: float,
    *,
    days: float,
) -> tuple[Table, Float32Array, Float32Array]:
    """Return the item table, factors (n + 1, F) and quality (n + 1,)."""
    n_sellers = len(sellers[0]) - 1
    category = 1 + rng.integers(0, len(CATEGORIES), n)
    median, consumable, adult = (np.array(column) for column in zip(*CATEGORIES.values(), strict=True))
    centre = rng.normal(size=(len(CATEGORIES), _N_FACTORS))
    factors = 0.6 * centre[category - 1] + 0.8 * rng.normal(size=(n, _N_FACTORS))
    size = 1.0 / np.arange(1, n_sellers + 1) ** 0.8
    seller = 1 + rng.choice(n_sellers, n, p=size / size.sum())
    new = rng.random(n) < 0.25
    age = np.where(new, -rng.uniform(0, days, n), rng.uniform(0, 730, n))
    numeric = {
        "price": np.round(median[category - 1] * np.exp(0.5 * rng.normal(size=n)), 2),
        "age_restricted": adult[category - 1],
        "recalled": rng.random(n) < 0.02,
        "consumable": consumable[category - 1],
        "sponsored": rng.random(n) < 0.05,
        "seller_rating": sellers[0][seller],
        "seller_fulfilment_days": sellers[1][seller],
        "seller_return_rate": sellers[2][seller],
    }
    table = Table(
        n,
        _with_default(np.stack(list(numeric.values()), axis=1), np.nan),
        tuple(numeric),
        {
            "category": _labelled(category, list(CATEGORIES)),
            "seller": _labelled(seller, [f"seller-{i}" for i in range(1, n_sellers + 1)]),
        },
        {
            "launched_at": np.concatenate([[np.nan], began - age * DAY]),
            "text": np.array([None, *_texts(factors, category)], object),
        },
        flags=("age_restricted", "recalled", "consumable", "sponsored"),
    )
    return table, _with_default(factors, 0.0), _with_default(rng.normal(size=n), 0.0)


def draw_users(rng: np.random.Generator, n: int) -> tuple[Table, Float32Array]:
    """Return the user table and factors (n + 1, F)."""
    country, device = (rng.choice(len(part), n, p=list(part.values())) for part in (_COUNTRIES, _DEVICES))
    age = np.clip(np.round(rng.normal(40, 15, n)), 16, 90)
    table = Table(
        n,
        _with_default(age[:, None], np.nan),
        ("age",),
        {
            "country": _labelled(1 + country, list(_COUNTRIES)),
            "device": _labelled(1 + device, list(_DEVICES)),
        },
    )
    return table, _with_default(rng.normal(size=(n, _N_FACTORS)), 0.0)


def draw_truth(
    rng: np.random.Generator,
    of_users: tuple[Table, Float32Array],
    of_items: tuple[Table, Float32Array],
    quality: Float32Array,
) -> Truth:
    """Draw tastes, which lean on age and country; users and items are tables with factors."""
    (users, user_factors), (items, item_factors) = of_users, of_items
    n, n_categories = users.n, len(CATEGORIES)
    by_age, by_country = rng.normal(0, 0.4, n_categories), rng.normal(0, 0.4, (len(_COUNTRIES), n_categories))
    age = (users.column("age")[1:] - 40.0) / 15.0
    taste = np.zeros((n + 1, n_categories + 1))
    taste[1:, 1:] = 0.8 * rng.normal(size=(n, n_categories)) + age[:, None] * by_age
    taste[1:, 1:] += by_country[users.column("country")[1:] - 1]
    category, price = items.column("category"), np.log(items.column("price"))
    mean = np.bincount(category[1:], price[1:], n_categories + 1) / np.maximum(
        np.bincount(category[1:], minlength=n_categories + 1), 1
    )
    return Truth(
        user_factors=user_factors,
        item_factors=item_factors,
        taste=taste.astype(np.float32),
        category=category,
        price_level=_with_default(2.0 * (price - mean[category])[1:], 0.0),
        price_wanted=_with_default(rng.normal(0, 0.7, n), 0.0),
        price_sensitivity=_with_default(rng.uniform(0.2, 0.8, n), 0.5),
        quality=quality,
    )


def _texts(factors: AnyArray, category: IntArray) -> list[str]:
    """Describe each item by its three strongest traits and its category."""
    strongest = np.argsort(-np.abs(factors), axis=1)[:, :3]
    high = np.take_along_axis(factors, strongest, axis=1) > 0
    words = _TRAITS[strongest, high.astype(np.int64)].tolist()
    names = list(CATEGORIES)
    return [
        f"{' '.join(traits)} {names[code - 1]}" for traits, code in zip(words, category.tolist(), strict=True)
    ]


def _labelled(codes: IntArray, labels: list[str]) -> Categorical:
    return Categorical(np.concatenate([[0], codes]).astype(np.int64), Vocabulary(labels))


def _with_default(rows: AnyArray, default: float) -> Float32Array:
    return np.concatenate([np.full((1, *rows.shape[1:]), default), rows]).astype(np.float32)
