"""Saving without pickle: round trips, refusals, and damaged files."""

import datetime as dt
import enum
import json
import math
import os
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from recokit._utils.params import Configured
from recokit.data import Categorical, Dataset, Live, Ragged, Table, Vocabulary
from recokit.data.state.encode import from_state, to_state
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import Role


def again(obj, trusted=()):
    """Return what a file would give back."""
    tree, arrays = to_state(obj)
    assert all(array.flags.c_contiguous and array.dtype.kind in "biuf" for array in arrays.values())
    return from_state(json.loads(json.dumps(tree, allow_nan=False)), arrays, trusted)


def same(a, b):
    if isinstance(a, np.ndarray):
        # by bytes, or by element for objects: NaN equals itself here
        return (
            isinstance(b, np.ndarray)
            and (a.dtype, a.shape) == (b.dtype, b.shape)
            and (a.tolist() == b.tolist() if a.dtype.hasobject else a.tobytes() == b.tobytes())
        )
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
    hnp.unicode_string_dtypes(max_len=4),
    hnp.byte_string_dtypes(max_len=4),
    hnp.nested_dtypes(),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
TREES = st.recursive(
    st.one_of(SCALARS, ARRAYS),
    lambda part: st.one_of(
        st.lists(part, max_size=3),
        st.lists(part, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), part, max_size=3),
        st.dictionaries(st.one_of(st.integers(), st.tuples(st.text(max_size=2))), part, max_size=3),
    ),
    max_leaves=8,
)


@given(TREES)
def test_round_trip_of_plain_data(obj):
    assert same(obj, again(obj))


@given(
    hnp.arrays(st.sampled_from(["f4", "f8", "i8"]), hnp.array_shapes(max_side=4), elements=st.integers(0, 5))
)
def test_memory_layout_is_kept(array):
    for given_array in (array, np.asfortranarray(array), array[::2], array.T):
        loaded = again(given_array)
        assert same(given_array, loaded)
        if given_array.ndim > 1 and given_array.flags.f_contiguous:
            assert loaded.flags.f_contiguous


def test_only_columns_that_lie_together_are_loaded_as_such():
    whole = np.arange(24.0).reshape(4, 6)
    for array, order in ((whole, "C"), (whole.T, "F"), (whole[::2, ::2], "C"), (np.arange(5), "C")):
        (stored,) = to_state(array)[0]["objects"]
        assert stored.get("order", "C") == order
        loaded = again(array)
        assert same(array, loaded)
        assert loaded.flags[f"{order}_CONTIGUOUS"]


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.int8(3),
        np.bool_(True),
        np.str_("a"),
        np.datetime64("2020-01-01", "D"),
        np.float64("nan"),
        dt.timedelta(days=-1, microseconds=5),
        dt.date(2020, 1, 2),
        dt.datetime(2020, 1, 2, 3, tzinfo=dt.UTC),
        Role.FILTER,
        {1, 2},
        frozenset({"a"}),
        -math.inf,
        np.array(["a", None, 3, 2.5, ("x", 1)], object),
        np.array([], object),
        np.array([[None, "b"]], object),
        np.zeros((0, 3), "M8[s]"),
        np.zeros(2, [("a", "i4", (2,)), ("b", [("c", "U3"), ("d", "f8")]), (("title", "e"), "?")]),
    ],
    ids=repr,
)
def test_values(value):
    assert same(value, again(value))


def test_sets_are_written_in_one_order():
    assert to_state({"b", "a", "c"}) == to_state({"c", "b", "a"})
    assert to_state({"b", "a"})[0]["root"]["items"] == ["a", "b"]


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.csc_array])
def test_sparse(make):
    matrix = make(np.array([[0, 1.5, 0], [2, 0, 0]], np.float32))
    loaded = again(matrix)
    assert type(loaded) is make
    assert loaded.dtype == np.float32
    assert loaded.shape == (2, 3)
    assert loaded.indices.dtype == matrix.indices.dtype
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())


def test_sparse_indices_are_checked():
    tree, arrays = to_state(sparse.csr_matrix(np.eye(3)))
    key = tree["objects"][1]["key"]
    arrays[key] = np.array([0, 1, 99], arrays[key].dtype)
    with pytest.raises(DataError, match="cannot be rebuilt"):
        from_state(tree, arrays)


def test_recokits_own_data():
    log = {"user": ["ann", "bob"], "item": [1, 2], "timestamp": [1.0, 2.0], "event": ["view", "purchase"]}
    items = {
        "item_id": [1, 2, 3],
        "category": ["a", "b", "a"],
        "price": [1.0, None, 2.0],
        "updated_at": [1, 2, 3],
    }
    data = Dataset.from_frame(log, items=items).before(1.5)
    loaded = again(data)
    assert loaded.item_ids == data.item_ids
    assert loaded.item_ids.encode([3]).tolist() == [3]
    assert loaded.cut == 1.5
    assert loaded.interactions.event_names == data.interactions.event_names
    for name in ("user", "timestamp", "weight"):
        assert same(getattr(loaded.interactions, name), getattr(data.interactions, name))
    assert loaded.interactions.session is None
    assert same(loaded.items.numeric, data.items.numeric)
    assert same(loaded.items.updated_at, data.items.updated_at)
    assert loaded.items.labels("category").ids.tolist() == ["a", "b"]
    ragged = again(Ragged(np.array([0, 1]), np.array([5]), {"time": np.array([2.0])}))
    assert ragged.columns["time"].tolist() == [2]


def test_cached_values_are_not_stored():
    data = Dataset.from_frame({"user": [1], "item": [1], "timestamp": [1]})
    before = len(to_state(data)[1])
    assert data.interactions.by_user
    assert len(to_state(data)[1]) == before


def test_what_is_shared_is_stored_once_and_shared_again():
    shared = np.arange(3)
    table = Table(
        2, np.zeros((3, 0), np.float32), (), {"a": Categorical(shared, Vocabulary(["x"]))}, {"b": shared}
    )
    tree, arrays = to_state([table, {"again": table}, shared])
    assert len(arrays) == 2  # the codes and the empty block
    first, second, codes = from_state(tree, arrays)
    assert first is second["again"]
    assert codes is first.other["b"]
    assert codes is first.categorical["a"].codes


def test_temporaries_do_not_lend_their_identity():
    class Fresh:
        def state(self):
            return {"array": np.full(1000, self.value)}

        def load_state(self, state):
            self.value = int(state["array"][0])

        def __init__(self):
            self.value = 0

    many = []
    for i in range(50):
        many.append(Fresh())
        many[-1].value = i
    assert [part.value for part in again(many, [Fresh])] == list(range(50))


def test_live_values_are_stored_as_their_value():
    stock = Live(np.array([0, 5]), name="stock")
    stock.set(np.array([0, 7]))
    first, second = again([stock, stock])
    assert first is second
    assert first.name == "stock"
    assert first.pin()[0] == 1
    assert first.pin()[1].tolist() == [0, 7]


# -- instances -------------------------------------------------------------------------------------


class Stage(Configured):
    def __init__(self, published_at, *, days=7.0, inner=None):
        self.published_at, self.days, self.inner = published_at, days, inner

    def fit(self, dataset):
        self.codes_ = np.array([1, 2])
        self.names_ = ("a", "b")
        self._scratch = threading.Lock()
        return self


class Plain:
    """Not all that it holds are options: stored whole."""

    def __init__(self, size):
        self.size = size
        self._double = 2 * size

    def grow(self):
        self._double += 1
        return self


class Own:
    def __init__(self, *, path="x"):
        self.path = path
        self.index = None

    def state(self):
        return {"bytes": np.frombuffer(self.index, np.uint8)}

    def load_state(self, state):
        self.index = state["bytes"].tobytes()


class Renamed:
    """Does not keep its option under its name, and has its own state."""

    def __init__(self, value):
        self.stored = value

    def state(self):
        return {"stored": self.stored}

    def load_state(self, state):
        self.stored = state["stored"]


@dataclass(frozen=True)
class Record:
    name: str
    total: float = 0.0
    built: int = field(init=False, default=3)


@dataclass
class Fitted(Configured):
    size: int = 3


class Pair(NamedTuple):
    left: int
    right: str


class Colour(enum.Enum):
    RED = 1


class Indexed:
    """As if it were recokit's own: its constructor builds what is private."""

    __module__ = "recokit.candidates.indexed"

    def __init__(self, size):
        self.size = size
        self._lock = threading.Lock()


class Bare:
    """Recokit's own as well, without an option that says what it holds."""

    __module__ = "recokit.candidates.indexed"

    def __init__(self):
        self._count = 1


def keep_adults(requests):
    return requests


def test_a_stage_is_its_options_and_its_fitted_attributes():
    inner = Stage(np.zeros(2), days=math.inf).fit(None)
    loaded = again(Stage(np.arange(3.0), inner=[inner]), [Stage])
    assert loaded.published_at.tolist() == [0, 1, 2]
    assert not hasattr(loaded, "codes_")
    assert loaded.inner[0].days == math.inf
    assert loaded.inner[0].codes_.tolist() == [1, 2]
    assert loaded.inner[0].names_ == ("a", "b")
    assert not hasattr(loaded.inner[0], "_scratch")


def test_private_parts_of_recokits_own_classes_are_built_by_their_constructors():
    index = Indexed(3)
    index.codes_ = np.array([4, 5])
    loaded = again(index, [Indexed])
    assert (loaded.size, loaded.codes_.tolist()) == (3, [4, 5])
    assert loaded._lock is not index._lock
    index.grown = (
        7  # what is neither private nor an option, nobody builds: all is stored, and a lock cannot be
    )
    with pytest.raises(ConfigurationError, match=r"lock at Indexed\._lock"):
        to_state(index)
    bare = Bare()
    bare._count = 5
    assert again(bare, [Bare])._count == 5


class SaysItsState:
    """Has a method of that name, and none that takes it back."""

    def __init__(self):
        self.stock = 3

    def state(self):
        return {"stock": 9}


def test_who_cannot_load_a_state_is_stored_by_attributes():
    assert again(SaysItsState(), [SaysItsState]).stock == 3


def test_other_objects():
    assert again(Plain(3).grow(), [Plain]).__dict__ == {"size": 3, "_double": 7}
    assert again(Record("a", math.nan), [Record]).built == 3
    own = Own(path="y")
    own.index = b"faiss"
    loaded = again(own, [Own])
    assert (loaded.path, loaded.index) == ("y", b"faiss")
    assert again(Renamed("v"), [Renamed]).stored == "v"
    fitted = Fitted(4)
    fitted.weight_ = np.ones(2)
    assert again(fitted, [Fitted]).weight_.tolist() == [1, 1]
    assert again(fitted, [Fitted]).size == 4
    assert again(Pair(1, "b"), [Pair]) == Pair(1, "b")
    assert again(Colour.RED, [Colour]) is Colour.RED
    model = LogisticRegression(C=2.0).fit([[0.0], [1.0]], [0, 1])
    loaded = again(model, [LogisticRegression])
    assert loaded.predict_proba([[0.3]]).tolist() == model.predict_proba([[0.3]]).tolist()


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ({"when": keep_adults}, r"found code, keep_adults, at dict\['when'\].*trusted=\[that class\]"),
        (Stage(np.zeros(1), inner=(lambda: 1,)), r"at Stage.inner\[0\]"),
        ({"kind": np.float32}, "found code, float32"),
        ([np], r"at list\[0\]"),
        ({"a": {"b": threading.Lock()}}, r"lock at dict\['a'\]\['b'\]; expected numbers"),
        ([np.random.default_rng(0)], "Generator at"),
        (np.ma.array([1]), "masked"),
        (np.array([(1, None)], [("a", "i4"), ("b", "O")]), "structured array"),
        (b"raw", "found a builtins.bytes at bytes"),
        (np.array([1, keep_adults], object), r"at ndarray\[1\]"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_data_is_refused_with_its_place(obj, words):
    with pytest.raises(ConfigurationError, match=words):
        to_state(obj)


def test_a_stage_that_hides_an_option_is_refused():
    class Hides(Configured):
        def __init__(self, *, size=1):
            self._size = size

    with pytest.raises(ConfigurationError, match="does not store its option 'size'"):
        to_state(Hides())


def test_cycles_are_refused():
    ring = []
    ring.append({"ring": ring})
    with pytest.raises(ConfigurationError, match=r"holds it, at list\[0\]\['ring'\]"):
        to_state(ring)


# -- loading is closed -----------------------------------------------------------------------------


def test_classes_outside_recokit_must_be_trusted():
    tree, arrays = to_state(Record("a"))
    with pytest.raises(ConfigurationError, match=r"test_state:Record.*trusted=\[Record\]"):
        from_state(tree, arrays)
    assert from_state(tree, arrays, trusted=[Plain, Record]).name == "a"


def node(path, **options):
    return {
        "objects": [{"$": "object", "class": path, "options": options, "attributes": {}}],
        "root": {"$": "ref", "to": 0},
    }


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("os:system", ConfigurationError),
        ("subprocess:Popen", ConfigurationError),
        ("recokit_evil:Thing", ConfigurationError),
        ("recokit.__main__:Thing", ConfigurationError),
        ("recokit..data:Table", ConfigurationError),
        ("recokit.data.state.encode:importlib.machinery.SourceFileLoader", DataError),
        ("recokit.data.state.folder:Path", DataError),
        ("recokit.data:Table", DataError),
        ("recokit.data.state.encode:from_state", DataError),
        ("recokit.data.table:Tabel", DataError),
        ("recokit.nowhere:Table", DataError),
        ("recokit.data.table", DataError),
    ],
)
def test_only_recokits_own_classes_are_found(path, error):
    with pytest.raises(error, match="found"):
        from_state(node(path), {})


def test_modules_outside_recokit_are_not_even_imported():
    sys.modules.pop("antigravity", None)
    with pytest.raises(ConfigurationError):
        from_state(node("antigravity:Thing"), {})
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"objects": [], "root": {"$": "unheard of"}},
        {"objects": [], "root": {"$": "ref", "to": 0}},
        {"objects": [{"$": "ref", "to": 0}], "root": None},
        {"objects": [{"$": "dict", "items": {}}], "root": {"$": "ref", "to": -1}},
        {"objects": [{"$": "dict", "items": {}}], "root": {"$": "ref", "to": 1}},
        {"objects": [], "root": {"$": "array", "key": "gone"}},
        {"objects": [], "root": {"$": "scalar", "dtype": "O", "hex": "00" * 8}},
        {"objects": [], "root": {"$": "array", "key": "a", "dtype": "O", "shape": [1]}},
        {"objects": [], "root": {"$": "array", "key": "a", "dtype": "<i8", "shape": [7]}},
        {"objects": [], "root": {"$": "sparse", "class": "linalg"}},
        {"objects": [], "root": {"$": "enum", "class": "recokit.data.table:Table", "name": "x"}},
        {"objects": [], "root": {"$": "enum", "class": "recokit.protocols:Role", "name": "x"}},
        node("recokit.data.vocabulary:Vocabulary", ids=[1, "a"]),
        node("recokit.data.vocabulary:Vocabulary", idz=[1]),
    ],
    ids=str,
)
def test_malformed_states_are_data_errors(tree):
    with pytest.raises(DataError):
        from_state(tree, {"a": np.zeros(8, np.uint8)})


def test_a_deep_tree_is_a_data_error():
    root = []
    for _ in range(100_000):
        root = [root]
    with pytest.raises(DataError, match="RecursionError"):
        from_state({"objects": [], "root": root}, {})


# -- folders ---------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    save_state(
        tmp_path / "model",
        {"weights": np.arange(6.0).reshape(2, 3), "ids": Vocabulary(["a"])},
        {"note": "hi"},
    )
    return tmp_path / "model"


def test_folder_round_trip(saved):
    obj, extra = load_state(saved)
    assert extra == {"note": "hi"}
    assert obj["weights"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert obj["ids"] == Vocabulary(["a"])
    obj["weights"][0] = 9  # loaded arrays are the caller's own
    assert sorted(path.name for path in saved.iterdir()) == [
        "arrays.safetensors",
        "manifest.json",
        "state.json",
    ]
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model"]
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert set(manifest["files"]) == {"state.json", "arrays.safetensors"}


def test_equal_objects_give_equal_files(saved):
    save_state(
        saved.parent / "twin",
        {"weights": np.arange(6.0).reshape(2, 3), "ids": Vocabulary(["a"])},
        {"note": "hi"},
    )
    for name in ("manifest.json", "state.json", "arrays.safetensors"):
        assert (saved / name).read_bytes() == (saved.parent / "twin" / name).read_bytes()


def test_saving_over_a_saved_state_replaces_it(saved):
    held = (saved / "state.json").open()
    save_state(str(saved), [1])
    assert load_state(saved) == ([1], {})
    assert '"note"' in held.read()  # a reader of the old files is not disturbed
    held.close()
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files are read from /proc")
def test_all_files_are_on_disk_before_the_folder_has_its_name(tmp_path, monkeypatch):
    flushed = []

    def fsync(descriptor):
        assert not (tmp_path / "model").exists()
        flushed.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    monkeypatch.setattr(os, "fsync", fsync)
    save_state(tmp_path / "model", [1])
    assert sorted(flushed) == ["arrays.safetensors", "manifest.json", "state.json"]
    assert flushed[-1] == "manifest.json"


def test_saving_into_an_empty_folder_and_new_parents(tmp_path):
    (tmp_path / "empty").mkdir()
    save_state(tmp_path / "empty", 1)
    save_state(tmp_path / "a" / "b", 2)
    assert load_state(tmp_path / "empty")[0] == 1
    assert load_state(tmp_path / "a" / "b")[0] == 2


def test_other_peoples_files_are_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    (tmp_path / "file").write_text("text")
    for name in ("photos", "file"):
        with pytest.raises(ConfigurationError, match="found other files"):
            save_state(tmp_path / name, 1)
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_a_save_that_fails_leaves_the_old_state(saved, monkeypatch):
    with pytest.raises(ConfigurationError):
        save_state(saved, [keep_adults])
    with pytest.raises(ConfigurationError, match="not JSON"):
        save_state(saved, 1, {"x": object()})
    with pytest.raises(ConfigurationError, match="not JSON"):
        save_state(saved, 1, {"x": math.nan})
    real = os.replace

    def broken(source, target):
        if Path(target) == saved / "manifest.json":
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        save_state(saved, 1)
    assert load_state(saved)[1] == {"note": "hi"}
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def corrupt(path, change):
    path.write_bytes(change(bytearray(path.read_bytes())))


def flip(content):
    content[len(content) // 2] ^= 1
    return content


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, "wrong checksum"),
        (lambda content: content[:-3], "cut short"),
        (lambda content: content + b" ", "bytes"),
    ],
)
def test_changed_files_are_refused_before_they_are_parsed(saved, monkeypatch, name, change, words):
    corrupt(saved / name, change)
    monkeypatch.setattr("recokit.data.state.folder.from_state", None)
    monkeypatch.setattr("safetensors.numpy.load_file", None)
    with pytest.raises(DataError, match=words):
        load_state(saved)


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "arrays.safetensors"])
def test_missing_files(saved, name):
    (saved / name).unlink()
    with pytest.raises(DataError, match=f"found no {name}"):
        load_state(saved)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(DataError, match=r"found no manifest.json"):
        load_state(tmp_path / "nowhere")


def rewrite_manifest(saved, **changes):
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "found format 2"),
        ({"format": None}, "found format None"),
        ({"files": {"state.json": {}}}, "does not list"),
        ({"files": None}, "does not list"),
        ({"files": {"state.json": None, "arrays.safetensors": None}}, "expected None"),
        ({"files": {"state.json": {}, "arrays.safetensors": {}, "../../etc/passwd": {}}}, "does not list"),
    ],
)
def test_bad_manifests(saved, changes, words):
    rewrite_manifest(saved, **changes)
    with pytest.raises(DataError, match=words):
        load_state(saved)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_damaged_manifests(saved, text):
    (saved / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"damaged|found format"):
        load_state(saved)


def test_a_state_that_is_not_one_behind_valid_checksums(saved):
    import hashlib

    (saved / "state.json").write_text("[]")
    files = json.loads((saved / "manifest.json").read_text())["files"]
    files["state.json"] = {"bytes": 2, "sha256": hashlib.sha256(b"[]").hexdigest()}
    rewrite_manifest(saved, files=files)
    with pytest.raises(DataError, match="found no saved state"):
        load_state(saved)


def test_trusted_reaches_the_codec(tmp_path):
    save_state(tmp_path / "m", Record("a"))
    with pytest.raises(ConfigurationError, match="trusted"):
        load_state(tmp_path / "m")
    assert load_state(tmp_path / "m", trusted=[Record])[0] == Record("a")


def test_subclasses_of_containers_are_not_taken_for_them():
    tree, arrays = to_state(OrderedDict(a=1))
    with pytest.raises(ConfigurationError, match="collections:OrderedDict"):
        from_state(tree, arrays)
