import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from recokit.data import Vocabulary
from recokit.errors import DataError

INTS = st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=20)
TEXTS = st.lists(st.text(max_size=4), unique=True, max_size=20)


@given(st.one_of(INTS, TEXTS), st.data())
def test_encode_and_decode_against_a_dict(ids, data):
    vocabulary = Vocabulary(ids)
    naive = {id_: code for code, id_ in enumerate(ids, 1)}
    other = st.integers(-(2**63), 2**63 - 1) if vocabulary.kind == "int" else st.text(max_size=4)
    asked = data.draw(st.lists(st.one_of(st.sampled_from(ids), other) if ids else other, max_size=20))
    codes = vocabulary.encode(asked)
    assert codes.dtype == np.int64
    assert codes.tolist() == [naive.get(id_, 0) for id_ in asked]
    assert vocabulary.decode(codes).tolist() == [id_ if id_ in naive else None for id_ in asked]


@given(st.one_of(st.tuples(INTS, INTS), st.tuples(TEXTS, TEXTS)))
def test_extend_keeps_old_codes(pair):
    old, new = pair
    vocabulary = Vocabulary(old)
    extended = vocabulary.extend([*new, *new])
    assert extended.ids.tolist() == [*old, *(id_ for id_ in new if id_ not in old)]
    if set(new) <= set(old):
        assert extended is vocabulary


def test_extend_takes_a_generator():
    assert len(Vocabulary([1, 2]).extend(i for i in (2, 3, 3))) == 3


@pytest.mark.parametrize(
    ("ids", "rows", "words"),
    [
        ([1, "2", 3], (1,), "str"),
        (["a", None], (1,), "NoneType"),
        (["a", 1.5], (1,), "float"),
        ([1, True], (1,), "bool"),
        ([1.5, 2.5], (0,), "float"),
        ([(1, 2), (3, 4)], (0,), "tuple"),
        ([np.nan, "a"], (0,), "float"),
        ([5, 7, 5], (2,), "more than once"),
        (["a", "b", "a"], (0,), "more than once"),
        ([1, 2**63], (1,), "64 bits"),
        (np.array([1, 2**64 - 1], np.uint64), (1,), "64 bits"),
        (np.array([True, False]), (0,), "bool"),
    ],
)
def test_bad_ids_name_their_rows(ids, rows, words):
    with pytest.raises(DataError, match=words) as caught:
        Vocabulary(ids)
    assert caught.value.rows == rows


def test_a_string_is_not_a_list_of_ids():
    with pytest.raises(DataError, match=r"expected a list, such as \['ann'\]"):
        Vocabulary(["ann"]).encode("ann")


def test_two_dimensions_are_an_error():
    with pytest.raises(DataError, match="one dimension"):
        Vocabulary(np.zeros((2, 2), np.int64))


@pytest.mark.parametrize(("known", "asked"), [([42], ["42"]), (["42"], [42])])
def test_ids_of_the_wrong_kind_are_an_error_not_a_cold_user(known, asked):
    with pytest.raises(DataError, match="convert them with"):
        Vocabulary(known).encode(asked)
    with pytest.raises(DataError, match="convert them with"):
        Vocabulary(known).extend(asked)


def test_an_empty_vocabulary_knows_nobody():
    empty = Vocabulary([])
    assert empty.encode([1, 2]).tolist() == [0, 0]
    assert empty.encode(["a"]).tolist() == [0]
    assert empty.decode([0]).tolist() == [None]
    assert len(empty.extend([3])) == 1
    assert Vocabulary([1]).encode([]).tolist() == []


@pytest.mark.parametrize("codes", [[-1], [3]])
def test_codes_of_another_vocabulary_are_an_error(codes):
    with pytest.raises(DataError, match="expected 0 to 2"):
        Vocabulary([8, 9]).decode(codes)


def test_equality_is_content_and_order():
    assert Vocabulary([1, 2]) == Vocabulary(np.array([1, 2], np.uint8))
    assert hash(Vocabulary([1, 2])) == hash(Vocabulary([1, 2]))
    assert Vocabulary([1, 2]) != Vocabulary([2, 1])
    assert Vocabulary(["1"]) != Vocabulary([1])
    assert Vocabulary(["a\x00b"]) != Vocabulary(["a", "b"])
    assert Vocabulary(["a"]) != "a"


def test_accepts_what_libraries_give():
    assert Vocabulary(pd.Series(["a", "b"])).encode(pd.Series(["b"])).tolist() == [2]
    assert Vocabulary(np.array(["a", "b"])).encode(np.array(["b"])).tolist() == [2]
    assert Vocabulary([np.int32(4), 5]).encode([np.uint16(5)]).tolist() == [2]
    kept = Vocabulary(np.array([np.str_("a")], object)).ids[0]
    assert type(kept) is str


def test_is_frozen_and_does_not_share_the_given_array():
    ids = np.array([1, 2])
    vocabulary = Vocabulary(ids)
    ids[0] = 9
    assert vocabulary.ids.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.ids[0] = 3


def test_contains_repr_pickle():
    vocabulary = Vocabulary(["a", "b"])
    assert "a" in vocabulary
    assert "z" not in vocabulary
    assert repr(vocabulary) == "Vocabulary(2 str ids)"
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary


def test_ids_in_messages_look_as_they_were_given() -> None:
    with pytest.raises(DataError, match="found int ids such as 7; expected str ids such as 'a'"):
        Vocabulary(["a"]).encode(np.array([7]))
    with pytest.raises(DataError, match="found id 7 more than once"):
        Vocabulary([7, 8, 7])
