"""What a saved state must not do: open files and connections, read the environment, or stand in place of methods."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, stores
from recokit._utils.params import Configured
from recokit.data import Vocabulary
from recokit.data.state.decode import class_path
from recokit.data.state.encode import from_state, to_state
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, DataError

URL = "redis://:$RK_SECRET@cache:6379/0"


def node(cls, **options):
    path = cls if isinstance(cls, str) else class_path(cls)
    return {
        "objects": [{"$": "object", "class": path, "options": options, "attributes": {}}],
        "root": {"$": "ref", "to": 0},
    }


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("RK_SECRET", "hush")


OPENERS = {
    "Redis": (stores.Redis, {"url": URL, "names": ["clicks"], "prefix": "item"}, "item"),
    "RedisSessions": (stores.RedisSessions, {"url": URL}, "session"),
    "SQLite": (stores.SQLite, {"path": "shop.db", "names": ["clicks"]}, "shop"),
    "SQLite by table": (stores.SQLite, {"path": "shop.db", "names": ["clicks"], "table": "users"}, "users"),
}


@pytest.mark.parametrize("name", OPENERS)
def test_a_state_opens_no_connection(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cls, options, called = OPENERS[name]
    with pytest.raises(ConfigurationError, match=rf"must not open itself: '{called}'.*connections="):
        from_state(node(cls, **options), {})
    assert not list(tmp_path.iterdir())
    given = stores.Resident(["clicks"])
    assert from_state(node(cls, **options), {}, connections={called: given}) is given


def test_a_url_that_the_caller_gives_is_opened_under_the_saved_options():
    store = stores.Redis(URL, ["clicks"], prefix="item", ttl="1D", timeout=0.5)
    tree, arrays = to_state(store)
    assert "RK_SECRET" not in json.dumps(tree) and "cache" not in json.dumps(tree)
    again = from_state(tree, arrays, connections={"item": "redis://:$RK_SECRET@other:1"})
    assert (again.url, again.ttl, again.timeout, again.names) == (
        "redis://:$RK_SECRET@other:1", "1D", 0.5, ("clicks",),
    )  # fmt: skip
    assert again._link._url == "redis://:hush@other:1"


def test_a_password_in_a_url_is_not_saved():
    tree, _ = to_state(stores.Redis("redis://:open-sesame@cache", ["clicks"], prefix="item"))
    assert "sesame" not in json.dumps(tree)


def test_two_stores_of_one_prefix_have_names_of_their_own():
    one, two = (stores.Redis(URL, ["clicks"], prefix="item") for _ in range(2))
    tree, arrays = to_state([one, two, one])
    a, b = stores.Resident(["clicks"]), stores.Resident(["clicks"])
    assert from_state(tree, arrays, connections={"item": a, "item-2": b}) == [a, b, a]
    with pytest.raises(ConfigurationError, match=r"found 1 connections.*'item-2'"):
        from_state(tree, arrays, connections={"item": a})


def test_a_connection_that_the_state_does_not_have_is_refused():
    tree, arrays = to_state([1])
    with pytest.raises(ConfigurationError, match="connections='item', which the saved state does not have"):
        from_state(tree, arrays, connections={"item": stores.Resident(["a"])})


def test_a_pipeline_takes_its_stores_back(tmp_path):
    data = rk.testing.toy_dataset()
    with stores.SQLite(tmp_path / "items.db", ["clicks"]) as store:
        stages = [candidates.Popular(), features.FromStore(store)]
        rk.Pipeline(stages).fit(data).save(tmp_path / "model")
    with pytest.raises(ConfigurationError, match=r"connections=\{'items'"):
        rk.Pipeline.load(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model", connections={"items": tmp_path / "items.db"})
    assert len(loaded.recommend([None], k=3, now=data.until).ids(0)) == 3
    held = stores.Resident(["clicks"])
    other = rk.Pipeline.load(tmp_path / "model", connections={"items": held})
    assert other["from_store"].store is held


# -- classes that do more than hold data ------------------------------------------------------------


def own_classes():
    for found in pkgutil.walk_packages(rk.__path__, "recokit."):
        module = importlib.import_module(found.name)
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == found.name:
                yield cls


OWN = sorted(set(map(class_path, own_classes())))


def test_no_class_of_recokit_touches_a_path_that_a_state_names(tmp_path):
    """Every option of every class, one after the other and all at once, is the path of a file."""
    target = tmp_path / "target"
    touched = []

    def hook(event, args):
        if event in ("open", "sqlite3.connect", "socket.connect", "os.mkdir", "subprocess.Popen"):
            touched.extend(str(arg) for arg in args if str(target) in str(arg))

    sys.addaudithook(hook)
    for path in OWN:
        module, _, name = path.partition(":")
        try:
            cls = vars(importlib.import_module(module)).get(name)
            options = [
                name
                for name, parameter in inspect.signature(cls).parameters.items()
                if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            ]
        except (TypeError, ValueError):
            continue
        tries = [{name: str(target)} for name in options] + [dict.fromkeys(options, str(target))]
        tries += [dict.fromkeys(options, str(target)) | {"names": ["a"]}]
        for given in tries:
            try:
                built = from_state(node(path, **given), {})
                if callable(getattr(built, "close", None)):
                    built.close()
            except (ConfigurationError, DataError):
                pass
    assert touched == []
    assert not target.exists()


@pytest.mark.parametrize(
    "path",
    [
        "recokit.stores._link:Link",
        "recokit.monitoring.export.json_lines:JsonLines",
        "recokit.monitoring.export.background:Background",
        "recokit.monitoring.export.prometheus:PrometheusCollector",
        "recokit.monitoring.feature_log.log:FeatureLog",
        "recokit.pipeline.pipeline:Pipeline",
        "recokit.data.state.decode:Decoder",
    ],
)
@pytest.mark.parametrize("options", [{}, None])
def test_classes_that_do_more_than_hold_data_are_refused(path, options):
    tree = node(path)
    tree["objects"][0]["options"] = options
    with pytest.raises(DataError, match="expected a class that is saved as its options"):
        from_state(tree, {})


def test_the_constructor_of_an_own_class_is_not_passed_by():
    tree = node(candidates.Popular)
    tree["objects"][0] |= {"options": None, "attributes": {"half_life": -1}}
    with pytest.raises(DataError, match="saved as its options"):
        from_state(tree, {})


def test_a_checkpoint_folder_is_not_saved():
    pytest.importorskip("torch")
    stage = candidates.SASRec(checkpoint="/somewhere/else", n_epochs=1)
    tree, arrays = to_state(stage)
    assert "somewhere" not in json.dumps(tree)
    assert from_state(tree, arrays).checkpoint is None
    forged = json.loads(json.dumps(tree).replace('"checkpoint": null', '"checkpoint": "/etc"'))
    assert from_state(forged, arrays).checkpoint is None


# -- attributes ---------------------------------------------------------------------------------------


class Stage(Configured):
    kind = "plain"

    def __init__(self, size=1):
        self.size = size

    @property
    def double(self):
        return 2 * self.size

    @classmethod
    def small(cls):
        return cls(0)

    def retrieve(self, requests, limit):
        return requests


@pytest.mark.parametrize("name", ["retrieve", "double", "small", "__class__", "__dict__", "__reduce__"])
def test_an_attribute_never_stands_in_place_of_what_a_class_does(name):
    tree = node(Stage, size=2)
    tree["objects"][0]["attributes"] = {name: 5}
    with pytest.raises(DataError, match=f"found attribute '{name}'"):
        from_state(tree, {}, [Stage])


def test_attributes_that_are_data_are_taken():
    tree = node(Stage, size=2)
    tree["objects"][0]["attributes"] = {"weights_": 5, "kind": "other"}
    stage = from_state(tree, {}, [Stage])
    assert (stage.weights_, stage.kind) == (5, "other")


def test_shipped_methods_are_not_replaced():
    tree = node(candidates.Popular)
    for name in ("retrieve", "fit", "bind"):
        tree["objects"][0]["attributes"] = {name: [1]}
        with pytest.raises(DataError, match=f"found attribute '{name}'"):
            from_state(tree, {})


# -- odd states ---------------------------------------------------------------------------------------


def test_shapes_that_no_memory_holds_are_data_errors():
    for shape in ([1 << 50], [1 << 20, 1 << 30]):
        tree = {"objects": [], "root": {"$": "array", "key": "a", "dtype": "<M8[s]", "shape": shape}}
        with pytest.raises(DataError):
            from_state(tree, {"a": np.zeros(0, np.uint8)})


def test_memory_that_a_constructor_does_not_get_is_a_data_error():
    class Greedy(Configured):
        def __init__(self, size):
            self.size = size
            raise MemoryError

    with pytest.raises(DataError, match="MemoryError"):
        from_state(node(Greedy, size=1), {}, [Greedy])


@pytest.fixture
def saved(tmp_path):
    save_state(tmp_path / "model", {"weights": np.arange(6.0), "ids": Vocabulary(["a"])})
    return tmp_path / "model"


def deep(n):
    return "[" * n + "]" * n


@pytest.mark.parametrize(
    "text",
    [deep(200_000), '{"format": ' + deep(100_000) + "}", '{"format": 1, "files": ' + deep(100_000) + "}",
     '{"format": ' + "9" * 5000 + "}", "null", '"text"', "NaN", '{"format": 1}', "{" * 10, "\x00" * 100],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_odd_manifests_are_data_errors(saved, text):
    (saved / "manifest.json").write_text(text)
    with pytest.raises(DataError) as raised:
        load_state(saved)
    assert len(str(raised.value)) <= 500


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors", "manifest.json"])
def test_what_is_no_file_is_a_data_error(saved, name):
    (saved / name).unlink()
    (saved / name).mkdir()
    with pytest.raises(DataError, match="that can be read"):
        load_state(saved)


@pytest.mark.skipif(not hasattr(__import__("os"), "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors", "manifest.json"])
def test_a_pipe_is_not_waited_for(saved, name):
    import os

    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(DataError, match="no regular file"):
        load_state(saved)


def rewrite(saved, name, content):
    """Put other bytes in place of a file, behind a valid checksum."""
    import hashlib

    (saved / name).write_bytes(content)
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (saved / "manifest.json").write_text(json.dumps(manifest))


def header(text):
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"abc", (1 << 62).to_bytes(8, "little") + b"{}", header(b"{"), header(b"[1]"), header(b"null"),
        header(deep(100_000).encode()),
        header(b'{"a0": {"dtype": "F64", "shape": [6], "data_offsets": [0, 48]}}'),
        header(b'{"a0": {"dtype": "F64", "shape": [-6], "data_offsets": [0, 48]}}') + bytes(48),
        header(b'{"a0": {"dtype": "F64", "shape": [6], "data_offsets": [48, 0]}}') + bytes(48),
        header(b'{"a0": {"dtype": "F64", "shape": [6], "data_offsets": [0]}}') + bytes(48),
        header(b'{"a0": {"dtype": "O", "shape": [6], "data_offsets": [0, 48]}}') + bytes(48),
        header(b'{"a0": {"dtype": "F64", "shape": [4611686018427387904], "data_offsets": [0, 0]}}'),
    ],
    ids=range(13),
)  # fmt: skip
def test_arrays_that_are_none_are_data_errors(saved, content):
    rewrite(saved, "arrays.safetensors", content)
    with pytest.raises(DataError):
        load_state(saved)


@pytest.mark.parametrize(
    "text", [deep(200_000), "{}", '{"state": 1, "extra": 5}', '{"state": 1, "extra": {}}', "NaN"]
)
def test_trees_that_are_none_are_data_errors(saved, text):
    rewrite(saved, "state.json", text.encode())
    with pytest.raises(DataError):
        load_state(saved)


def test_a_state_that_is_no_pipeline_is_a_data_error(saved):
    with pytest.raises(DataError, match="expected a pipeline"):
        rk.Pipeline.load(saved)


def test_a_manifest_names_no_file_elsewhere(saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    for name in ("../../etc/passwd", "/etc/passwd", "manifest.json", 3, "state-0123456789abcdef.json/../x"):
        manifest["files"]["state.json"]["file"] = name
        (saved / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(DataError, match="names another file"):
            load_state(saved)
    assert Path(saved).is_dir()
