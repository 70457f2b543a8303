import numpy as np
import pytest

from recokit._native import arrays
from recokit.errors import ContractError


def unaligned():
    return np.zeros(17, np.uint8)[1:].view(np.float32)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros(4), "an array of float64"),
        (np.zeros(4, ">f4"), "an array of >f4"),
        (np.zeros((4, 4), np.float32)[:, ::2], "not contiguous"),
        (np.zeros((4, 4), np.float32).T[:3], "not contiguous"),
        (unaligned(), "not aligned"),
    ],
)
def test_what_a_kernel_cannot_read_is_refused(array, found):
    with pytest.raises(ContractError, match=found):
        arrays.float32(array)


def test_an_answer_cannot_go_into_a_read_only_array():
    array = np.zeros(3, np.int64)
    array.flags.writeable = False
    arrays.int64(array)
    with pytest.raises(ContractError, match="read-only"):
        arrays.int64.out(array)


def test_a_pointer_reads_and_writes_the_array_itself():
    array = np.arange(4, dtype=np.int32)
    pointer = arrays.int32.out(array)
    pointer[2] = 7
    assert array.tolist() == [0, 1, 7, 3]
    assert [pointer[i] for i in range(4)] == [0, 1, 7, 3]


@pytest.mark.parametrize(
    ("pointer", "dtype"),
    [(getattr(arrays, name), name) for name in ("uint8", "int32", "int64", "uint64", "float32", "float64")]
    + [(arrays.boolean, "bool")],
)
def test_an_empty_array_has_a_pointer_too(pointer, dtype):
    pointer(np.zeros(0, dtype))
    pointer.out(np.zeros((3, 0), dtype))


@pytest.mark.parametrize(
    "array", [np.arange(8.0)[::2], np.arange(4), np.arange(4.0, dtype=np.float32), unaligned()]
)
def test_an_array_of_any_layout_is_read_through_a_copy(array):
    pointer = arrays.float32.of(array)
    assert [pointer[i] for i in range(len(array))] == array.tolist()


@pytest.mark.parametrize("array", [np.zeros((4, 0)), np.zeros((4, 2)), np.zeros(())])
def test_another_number_of_axes_is_refused(array):
    with pytest.raises(ContractError, match="expected 1 axes"):
        arrays.float64.of(array)
    arrays.float64.of(array, array.ndim)


def test_a_number_that_may_have_a_fraction_is_no_index():
    with pytest.raises(ContractError, match="found an array of float64; expected int64"):
        arrays.int64.of(np.array([1.0, np.nan]))


def test_several_arrays_are_one_argument():
    addresses = arrays.int64.each([np.arange(3), np.arange(6)[::2]])
    assert len(addresses) == 2
    assert [[addresses[i][j] for j in range(3)] for i in range(2)] == [[0, 1, 2], [0, 2, 4]]
