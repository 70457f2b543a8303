"""FromOnnx: what a model is given, what becomes of its answer, and which models are refused."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import onnx.parser
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import Candidates, Schema, Table, Vocabulary
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.rankers import FromOnnx

NAMES = ("clicks", "price")


def parse(text):
    """Return the bytes of a model in ONNX's textual form."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}').SerializeToString()


LINEAR = parse(
    "g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1.0, -0.5}, float b = {3.0}>"
    "{ product = MatMul(x, w) y = Add(product, b) }"
)
CLASSES = parse(
    "g (float[N, 2] x) => (int64[N] label, float[N, 2] p) { label = ArgMax<axis = 1, keepdims = 0>(x) p = Softmax(x) }"
)
X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)


def as_batch(x, names=NAMES):
    return Candidates.from_lists([list(range(1, len(x) + 1))], features=x, feature_names=names)


def test_the_score_is_what_the_model_says():
    score = FromOnnx(LINEAR, features=NAMES).score(as_batch(X))
    assert score.dtype == np.float32
    np.testing.assert_allclose(score, X[:, 0] - 0.5 * X[:, 1] + 3.0, atol=1e-6)


def test_a_classifier_scores_by_the_second_column_of_its_last_output():
    expected = 1 / (1 + np.exp(X[:, 0] - X[:, 1]))
    score = FromOnnx(CLASSES, features=NAMES).score(as_batch(X))
    np.testing.assert_allclose(score, expected, atol=1e-6)
    label = FromOnnx(CLASSES, features=NAMES, output="label").score(as_batch(X))
    np.testing.assert_array_equal(label, expected > 0.5)


def test_features_are_found_by_name_wherever_they_stand():
    ranker = FromOnnx(LINEAR, features=NAMES)
    expected = ranker.score(as_batch(X))
    moved = as_batch(np.column_stack([X[:, 1], np.ones(20), X[:, 0]]), ("price", "age", "clicks"))
    np.testing.assert_array_equal(ranker.score(moved), expected)
    ids = Vocabulary(["a"])
    bound = ranker.bind(Schema(ids, ids, Table.empty(1), Table.empty(1), feature_names=moved.feature_names))
    np.testing.assert_array_equal(bound.score(moved), expected)
    with pytest.raises(ConfigurationError, match=r"no feature 'clicks'.*did you mean 'click'"):
        ranker.score(as_batch(X, ("click", "price")))


def test_a_double_input_and_one_of_any_width():
    double = parse("g (double[N, F] x) => (double[N] y) { y = ReduceMax<axes = [1], keepdims = 0>(x) }")
    np.testing.assert_array_equal(FromOnnx(double, features=NAMES).score(as_batch(X)), X.max(axis=1))


def test_missing_values_reach_the_model_and_no_rows_do_not():
    counts = parse("g (float[N, 1] x) => (float[N, 1] y) { gap = IsNaN(x) y = Cast<to = 1>(gap) }")
    ranker = FromOnnx(counts, features=["price"])
    assert ranker.score(as_batch(np.array([[np.nan], [1.0]]), ["price"])).tolist() == [1.0, 0.0]
    assert ranker.score(as_batch(np.zeros((0, 1), np.float32), ["price"])).shape == (0,)


def test_one_thread():
    options = FromOnnx(LINEAR, features=NAMES)._session._session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1


def test_a_file_is_read_once(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(LINEAR)
    ranker = FromOnnx(path, features=NAMES)
    path.unlink()
    expected = FromOnnx(LINEAR, features=NAMES).score(as_batch(X))
    for again in (ranker, copy.copy(ranker), pickle.loads(pickle.dumps(ranker))):
        np.testing.assert_array_equal(again.score(as_batch(X)), expected)
    with pytest.raises(ConfigurationError, match=r"no model to read at .*model.onnx"):
        FromOnnx(path, features=NAMES)


def test_saved_with_the_model_and_its_checksum(tmp_path):
    ranker = FromOnnx(CLASSES, features=NAMES, output="label")
    save_state(tmp_path / "saved", ranker)
    loaded, _ = load_state(tmp_path / "saved")
    assert loaded.sha256 == ranker.sha256 and len(ranker.sha256) == 64
    np.testing.assert_array_equal(loaded.score(as_batch(X)), ranker.score(as_batch(X)))
    with pytest.raises(DataError, match=r"SHA-256 .* as saved"):
        FromOnnx(LINEAR, features=NAMES).load_state(ranker.state())


def test_in_a_pipeline_that_is_saved(tmp_path):
    data = rk.testing.toy_dataset()
    wanted = [candidates.Popular(), features.Standard()]
    names = rk.Pipeline([*wanted, rankers.Weighted({"popular_rank": -1.0})]).fit(data)["standard"].names
    picked = [
        next(name for name in names if "price" in name),
        next(name for name in names if "count" in name),
    ]
    weighted = rankers.Weighted({picked[0]: 1.0, picked[1]: -0.5})
    lists = []
    for ranker in (weighted, FromOnnx(LINEAR, features=picked)):
        pipeline = rk.Pipeline([*wanted, ranker]).fit(data)
        pipeline.save(tmp_path / type(ranker).__name__)
        served = rk.Pipeline.load(tmp_path / type(ranker).__name__)
        lists.append(served.recommend(["user-3", None], k=5, now=data.until).item.tolist())
    assert lists[0] == lists[1] and lists[0]


REFUSED = {
    "other": (b"no model at all", r"found 15 bytes that ONNX Runtime cannot load .*expected a model in the ONNX"),
    "two inputs": (
        parse("g (float[N, 1] a, float[N, 1] b) => (float[N, 1] y) { y = Add(a, b) }"),
        r"inputs a tensor\(float\).*, b .*expected one",
    ),
    "text": (parse("g (string[N, 2] x) => (string[N, 2] y) { y = Identity(x) }"), r"tensor\(string\).*float or double"),
    "vector": (parse("g (float[N] x) => (float[N] y) { y = Identity(x) }"), r"of shape \(N, F\)"),
    "one row": (parse("g (float[1, 2] x) => (float[1, 2] y) { y = Identity(x) }"), r"1 rows at a time.*dynamic"),
    "wide": (parse("g (float[N, 3] x) => (float[N, 3] y) { y = Identity(x) }"), "found 2 features .* takes 3"),
    "sequence": (
        parse("g (float[N, 2] x) => (seq(float[N, 2]) y) { y = SequenceConstruct(x) }"),
        r"type seq\(tensor\(float\)\).*zipmap",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_models_that_are_refused(case):
    model, message = REFUSED[case]
    with pytest.raises(ConfigurationError, match=message):
        FromOnnx(model, features=NAMES)


def test_options_that_are_refused():
    with pytest.raises(ConfigurationError, match=r"no output 'lable'.*did you mean 'label'"):
        FromOnnx(CLASSES, features=NAMES, output="lable")
    with pytest.raises(ConfigurationError, match="features=None"):
        FromOnnx(LINEAR, features=None)
    with pytest.raises(ConfigurationError, match="distinct names"):
        FromOnnx(LINEAR, features=("price", "price"))
    with pytest.raises(ConfigurationError, match=r"found ModelProto.*SerializeToString"):
        FromOnnx(onnx.load_from_string(LINEAR), features=NAMES)
    with pytest.raises(ConfigurationError, match="array of float32"):
        FromOnnx(X, features=NAMES)


def test_answers_that_are_no_scores():
    wide = parse("g (float[N, 2] x) => (float[N, 4] y) { y = Concat<axis = 1>(x, x) }")
    with pytest.raises(ContractError, match=r"shape \(20, 4\) from output 'y'; expected \(20,\)"):
        FromOnnx(wide, features=NAMES).score(as_batch(X))
    three = parse("g (float[N, 2] x) => (float[3, M] y) <int64[2] s = {3, -1}> { y = Reshape(x, s) }")
    with pytest.raises(DataError, match="features that the ONNX model fails on"):
        FromOnnx(three, features=NAMES).score(as_batch(X))


def test_without_onnx_runtime(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"no onnxruntime.*recokit\[onnx\]"):
        FromOnnx(LINEAR, features=NAMES)
