"""Blocks about an item's label, where an item has several: the mean over its labels."""

import numpy as np
import pytest

from recokit.data import DAY, Candidates, Dataset, LiveEvents, Requests
from recokit.features import ItemCategory, Standard, UserCategory

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
