"""Small deterministic data: a toy dataset, requests and candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit.data import DAY, Candidates, Dataset, Ragged, Requests, timestamp
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

_START = timestamp("2025-01-01")
#: Request time of the toy requests' last row: the day after the toy log ends.
NOW = _START + 60 * DAY
_CATEGORIES = ("books", "games", "garden", "grocery", "wine")


def toy_dataset(n_users: int = 20, n_items: int = 30, *, n_events: int = 300, seed: int = 0) -> Dataset:
    """Return a small dataset with every column that recokit's own stages bind to.

    60 days of view, click, add_to_cart and purchase events; the last user and the last item have none. Users have the
    columns ``country``, ``region``, ``device`` and ``age``; items have ``category``, ``seller``, ``brand``, ``price``,
    ``name``, ``launched_at``, ``in_stock``, ``consumable``, ``sponsored``, ``age_restricted`` and ``recalled``.

    Parameters
    ----------
    n_users, n_items : int
        Users are ``"user-1"`` and so on, items 101, 102 and so on: neither is a code.
    n_events : int, default 300
        Length of the log.
    seed : int, default 0
        Seed of all draws.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> data = toy_dataset()
    >>> len(data.interactions), data.n_users, data.n_items
    (300, 20, 30)
    """
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, n_items) ** 0.7
    item = rng.choice(n_items - 1, n_events, p=popularity / popularity.sum())
    price: FloatArray = np.round(np.exp(rng.normal(2.5, 0.8, n_items)), 2).astype(np.float64)
    event = rng.choice(["view", "click", "add_to_cart", "purchase"], n_events, p=[0.4, 0.25, 0.1, 0.25])
    log = {
        "user_id": [f"user-{i}" for i in rng.integers(1, n_users, n_events)],
        "item_id": 101 + item,
        "timestamp": np.sort(rng.uniform(_START, NOW - DAY, n_events)),
        "event": event.astype(object),
        "value": np.where(event == "purchase", price[item], np.nan),
        "session_id": np.arange(n_events) // 3,
    }
    return Dataset.from_frame(log, users=_users(rng, n_users), items=_items(rng, n_items, price), now=NOW)


def _users(rng: np.random.Generator, n: int) -> dict[str, object]:
    return {
        "user_id": [f"user-{i}" for i in range(1, n + 1)],
        "country": rng.choice(["DE", "FR", "US"], n).astype(object),
        "region": rng.choice(["north", "south"], n).astype(object),
        "device": rng.choice(["mobile", "desktop"], n).astype(object),
        "age": rng.integers(16, 80, n),
    }


def _items(rng: np.random.Generator, n: int, price: FloatArray) -> dict[str, object]:
    category = rng.choice(_CATEGORIES, n).astype(object)
    return {
        "item_id": 101 + np.arange(n),
        "category": category,
        "seller": np.array([f"seller-{i}" for i in rng.integers(1, 6, n)], object),
        "brand": np.array([f"brand-{i}" for i in rng.integers(1, 9, n)], object),
        "price": price,
        "name": [f"{kind} {i}" for i, kind in enumerate(category.tolist(), 1)],
        "launched_at": (_START - DAY * rng.uniform(-30, 300, n)).astype("datetime64[s]"),
        "in_stock": rng.random(n) < 0.8,
        "consumable": np.isin(category, ["grocery", "wine"]),
        "sponsored": rng.random(n) < 0.2,
        "age_restricted": category == "wine",
        "recalled": rng.random(n) < 0.1,
    }


def make_requests(
    n_rows: int = 8, *, n_users: int = 20, n_items: int = 30, k: int = 5, seed: int = 0
) -> Requests:
    """Return a batch of requests: different users and times, an unknown user, and lists of different lengths.

    Parameters
    ----------
    n_rows : int, default 8
        Requests, B. The second one is of an unknown user; the first has empty lists.
    n_users, n_items : int
        Largest codes.
    k : int, default 5
        List length wanted.
    seed : int, default 0
        Seed of all draws.

    Returns
    -------
    Requests
        With the lists ``history`` (columns ``timestamp``, ``weight``, ``event``), ``owned`` (``timestamp``),
        ``session`` and ``cart``, and the context columns ``country`` and ``device``.

    Examples
    --------
    >>> make_requests(3).user.tolist()
    [18, 0, 11]
    """
    rng = np.random.default_rng(seed)
    user = rng.integers(1, n_users + 1, n_rows)
    user[1:2] = 0
    now = NOW - DAY * rng.uniform(0, 20, n_rows)
    now[-1:] = NOW
    history, owned = _lists(rng, n_rows, n_items, 8), _lists(rng, n_rows, n_items, 4)
    return Requests.build(
        user,
        k=k,
        now=now,
        seed=seed,
        columns={
            "country": rng.choice(["DE", "FR", "US"], n_rows).astype(object),
            "device": rng.choice(["mobile", "desktop"], n_rows).astype(object),
        },
        ragged={
            "history": _timed(rng, history, now, ("weight", "event")),
            "owned": _timed(rng, owned, now),
            "session": _lists(rng, n_rows, n_items, 3),
            "cart": _lists(rng, n_rows, n_items, 2),
        },
    )


def make_candidates(
    n_rows: int = 8,
    n_items: int = 30,
    *,
    per_row: int = 12,
    sources: Sequence[str] = ("popular", "item_knn"),
    features: Sequence[str] = ("price", "clicks_7d", "popular_rank_inverse"),
    requests: Requests | None = None,
    seed: int = 0,
) -> Candidates:
    """Return a batch of candidates: rows of different lengths, one empty, one of a single candidate.

    Parameters
    ----------
    n_rows : int, default 8
        Requests, B; as many as ``requests`` has, where it is given.
    n_items : int, default 30
        Largest item code; items are distinct within a row.
    per_row : int, default 12
        Candidates of most rows; ``n_items`` at most.
    sources : sequence of str
        Sources, each with the columns ``{source}_rank`` and ``{source}_score``.
    features : sequence of str
        Feature names; one value in ten is missing.
    requests : Requests, optional
        The requests; :func:`make_requests` by default.
    seed : int, default 0
        Seed of all draws.

    Returns
    -------
    Candidates
        Scored, with source bits, source columns and features; valid by ``validate()``.

    Raises
    ------
    ConfigurationError
        If there is no source or no item.

    Examples
    --------
    >>> batch = make_candidates()
    >>> batch.counts.tolist(), sorted(batch.columns)
    ([12, 12, 0, 1, 12, 12, 12, 12], ['item_knn_rank', 'item_knn_score', 'popular_rank', 'popular_score'])
    """
    if not sources or n_items < 1:
        raise ConfigurationError(
            f"found sources={sources!r}, n_items={n_items}; expected at least one of each"
        )
    rng = np.random.default_rng(seed)
    requests = make_requests(n_rows, n_items=n_items, seed=seed) if requests is None else requests
    counts = np.full(len(requests), min(per_row, n_items))
    counts[2:3], counts[3:4] = 0, 1
    item = np.argsort(rng.random((len(requests), n_items)), axis=1)[np.arange(n_items) < counts[:, None]] + 1
    offsets = counts_to_offsets(counts)
    row = offsets_to_rows(offsets)
    found = rng.random((len(sources), len(item))) < 0.6
    found[rng.integers(0, len(sources), len(item)), np.arange(len(item))] = True
    block = rng.normal(size=(len(item), len(features))).astype(np.float32)
    block[rng.random(block.shape) < 0.1] = np.nan
    bits = np.uint64(1) << np.arange(len(sources), dtype=np.uint64)
    batch = Candidates(
        requests=requests,
        offsets=offsets,
        row=row,
        item=item.astype(np.int64),
        score=rng.random(len(item)).astype(np.float32),
        sources=(found * bits[:, None]).sum(axis=0).astype(np.uint64),
        source_names=tuple(sources),
        columns=_source_columns(rng, sources, found, row),
        features=block,
        feature_names=tuple(features),
    )
    batch.validate()
    return batch


def _source_columns(
    rng: np.random.Generator, sources: Sequence[str], found: BoolArray, row: IntArray
) -> dict[str, Float32Array]:
    columns = {}
    for name, mine in zip(sources, found, strict=True):
        score = np.where(mine, rng.random(len(row)), np.nan).astype(np.float32)
        best_first = np.lexsort((-score, row))
        rank = np.empty(len(row))
        rank[best_first] = np.arange(len(row)) - np.searchsorted(row, row[best_first]) + 1.0
        columns[f"{name}_rank"] = np.where(mine, rank, np.nan).astype(np.float32)
        columns[f"{name}_score"] = score
    return columns


def _lists(rng: np.random.Generator, n_rows: int, n_items: int, most: int) -> Ragged:
    counts = rng.integers(0, most + 1, n_rows)
    counts[:1] = 0
    return Ragged(counts_to_offsets(counts), rng.integers(1, n_items + 1, int(counts.sum())))


def _timed(rng: np.random.Generator, lists: Ragged, now: FloatArray, more: Sequence[str] = ()) -> Ragged:
    """Add the columns that recokit's own hydrator gives; oldest first."""
    n, rows = len(lists.values), lists.rows
    time = now[rows] - rng.uniform(1, 30 * DAY, n)
    event = rng.integers(0, 4, n)
    columns: dict[str, AnyArray] = {"timestamp": time[np.lexsort((time, rows))], "event": event}
    columns["weight"] = np.array([0.1, 0.2, 0.5, 1.0], np.float32)[event]
    return Ragged(lists.offsets, lists.values, {name: columns[name] for name in ("timestamp", *more)})
