"""Blocks about an item's label, where an item has several: the mean over its labels."""

import numpy as np
import pytest

from recokit.data import DAY, Candidates, Dataset, LiveEvents, Ragged, Requests
from recokit.features import ItemCategory, Session, Standard, UserCategory

GENRES = [["a", "b"], ["b"], ["c"], [], ["a", "c"]]
RNG = np.random.default_rng(8)
LOG = {
    "user": RNG.integers(1, 5, 60),
    "item": RNG.integers(1, 6, 60),
    "timestamp": np.sort(RNG.uniform(0, 40 * DAY, 60)),
}
DATA = Dataset.from_frame(
    LOG,
    items={"item": np.arange(1, 6), "genres": ["|".join(one) for one in GENRES]},
    separators={"genres": "|"},
)
NOW = 30 * DAY


def batch():
    requests = Requests.build(np.array([1, 2, 0]), now=NOW)
    return Candidates.from_lists([[1, 2, 3, 4, 5], [5, 4, 1], [1]], requests=requests)


def count(label, user=None, since=-np.inf):
    """Count events of a label strictly before NOW."""
    log = DATA.interactions
    return sum(
        label in GENRES[item - 1] and (user is None or user == who) and since <= when < NOW
        for who, item, when in zip(log.user, log.item, log.timestamp, strict=True)
    )


def columns(block, data=DATA):
    return dict(zip(block.names, block.fit(data).featurize(batch()).T, strict=True))


def test_a_users_affinity_is_the_mean_over_labels():
    found = columns(UserCategory("genres"))["user_genres_count"]
    candidates = batch()
    for place, (row, item) in enumerate(zip(candidates.row, candidates.item, strict=True)):
        user = int(candidates.requests.user[row])
        wanted = [count(label, user) if user else 0 for label in GENRES[item - 1]] or [0]
        assert found[place] == pytest.approx(np.mean(wanted))


def test_a_labels_events_are_the_mean_over_labels():
    found = columns(ItemCategory("genres", window="20D"))["genres_count_20d"]
    for place, item in enumerate(batch().item):
        wanted = [count(label, since=NOW - 20 * DAY) for label in GENRES[item - 1]] or [0]
        assert found[place] == pytest.approx(np.mean(wanted))


def test_later_events_give_the_same_as_a_fit_on_everything():
    live, late = LiveEvents(), DATA.interactions.between(20 * DAY, np.inf)
    stage = Standard(live_events=live).fit(DATA.before(20 * DAY)).bind(DATA.schema)
    later = {"user": DATA.user_ids.decode(late.user), "item": DATA.item_ids.decode(late.item)}
    live.append({**later, "timestamp": late.timestamp})
    names = [name for name in stage.names if name.startswith("user_category")]
    assert names  # genres stand for the category
    found = dict(zip(stage.names, stage.featurize(batch()).T, strict=True))
    whole = columns(UserCategory("category", half_life=stage_half_life(names)))
    for name in names:
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-5, err_msg=name)


def stage_half_life(names):
    return next(name.rsplit("_", 1)[1] for name in names if "decayed" in name)


def test_one_label_each_is_as_without_a_separator():
    items = {"item": np.arange(1, 6), "genres": ["a", "b", "c", None, "a"]}
    one = Dataset.from_frame(LOG, items=items)
    several = Dataset.from_frame(LOG, items=items, separators={"genres": "|"})
    for block in (UserCategory("genres"), ItemCategory("genres")):
        plain, split = columns(block, one), columns(type(block)("genres"), several)
        for name in plain:
            np.testing.assert_allclose(split[name], plain[name], rtol=1e-6)


def test_a_sessions_share_is_the_mean_over_the_candidates_labels():
    history = Ragged.from_lists([[1, 2, 3, 3, 4], []])
    times = NOW - 60.0 * np.arange(5, 0, -1)
    history = Ragged(history.offsets, history.values, {"timestamp": times})
    requests = Requests.build(np.array([1, 2]), now=NOW, ragged={"history": history})
    block = Session("genres").bind(DATA.schema)
    values = block.featurize(Candidates.from_lists([[1, 2, 3, 4, 5], [1]], requests=requests))
    share, last = (
        values[:, block.names.index(name)] for name in ("session_genres_share", "session_last_genres")
    )
    # Of 5 events one has a, two have b, two have c; the last item, 4, has no genre.
    assert share[:5].tolist() == pytest.approx([(0.2 + 0.4) / 2, 0.4, 0.4, 0, (0.2 + 0.4) / 2])
    assert last.tolist() == [0] * 6
    shorter = Ragged(np.array([0, 4, 4]), history.values[:4], {"timestamp": times[:4]})
    requests = Requests.build(np.array([1, 2]), now=NOW, ragged={"history": shorter})
    values = block.featurize(Candidates.from_lists([[1, 2, 3, 4, 5], [1]], requests=requests))
    assert values[:5, block.names.index("session_last_genres")].tolist() == [0, 0, 1, 0, 0.5]
