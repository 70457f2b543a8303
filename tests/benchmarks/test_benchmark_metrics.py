"""The metrics benchmarks in small: what is timed is the same, and the inputs are as hard as they say."""

import numpy as np

from benchmarks.metric_agreement import made as hard
from benchmarks.metrics import METRICS, by_hand, by_hand_from_rows, chunks, from_arrays, from_frames, made
from recokit.metrics import Stream


def test_arrays_frames_and_numpy_by_hand_agree():
    world = made(300)
    expected = by_hand(world.items, world.truth_offsets, world.truth_items)
    assert min(expected) > 0
    np.testing.assert_allclose(from_arrays(world), expected, rtol=1e-12)
    lists, truth = world.frames
    np.testing.assert_allclose(from_frames(lists, truth), expected, rtol=1e-12)
    np.testing.assert_allclose(by_hand_from_rows(lists, truth), expected, rtol=1e-12)


def test_chunks_hold_all_users():
    stream = Stream(METRICS)
    for part in chunks(1000, size=300):
        stream.add(part)
    assert stream.report()["NDCG@10"].n == 1000


def test_inputs_have_missing_lists_missing_truths_and_ties():
    lists, truth = hard(3, ties=True)
    assert set(lists["user"]) - set(truth["user"])
    assert set(truth["user"]) - set(lists["user"])
    assert truth["gain"].max() > 1
    assert len(set(zip(lists["user"], lists["score"], strict=True))) < len(lists["user"])
