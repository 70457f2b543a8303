"""Networks: they score as torch does and without it, stop in time, and know ids by name."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import recokit as rk
from recokit import candidates, features
from recokit._utils.params import clone
from recokit.data import Candidates, RankingData, Requests, Schema, Table, Vocabulary
from recokit.data.state.encode import from_state, to_state
from recokit.data.state.folder import save_state
from recokit.data.table import Categorical
from recokit.errors import ConfigurationError
from recokit.rankers import CrossNetwork, LogisticRegression, NeuralNet

QUICK = {"n_epochs": 20, "learning_rate": 0.02, "batch_size": 200}
KINDS = ["books", "games", "wine"]
NETS = [
    NeuralNet((16, 8), embeddings={"item.kind": 4, "user": 3}, **QUICK),
    CrossNetwork(2, hidden=(16,), embeddings={"item.kind": 4}, **QUICK),
    CrossNetwork(2, hidden=(16,), structure="stacked", loss="softmax", **QUICK),
    CrossNetwork(1, hidden=(), loss="lambdarank", **QUICK),
]


def make_schema(users=("ann", "bob", "eve"), items=tuple(range(100, 160)), names=("a", "b")):
    """Users know what they like: item 100 is a book, 101 a game, 102 wine, and so on."""
    user_ids, item_ids = Vocabulary(list(users)), Vocabulary(list(items))
    kinds = Vocabulary(KINDS)
    codes = np.concatenate([[0], kinds.encode([KINDS[item % 3 - 1] for item in items])])
    table = replace(Table.empty(len(items)), categorical={"kind": Categorical(codes, kinds)})
    return Schema(item_ids, user_ids, table, Table.empty(len(users)), feature_names=names)


def make_data(n_groups=60, size=20, seed=0, validation=None, noise=0.5):
    rng = np.random.default_rng(seed)
    schema, n = make_schema(), n_groups * size
    user = np.repeat(rng.integers(1, 4, n_groups), size)
    item = np.concatenate([rng.choice(60, size, replace=False) + 1 for _ in range(n_groups)])
    x = rng.normal(size=(n, 2))
    liked = schema.items.column("kind")[item] == user  # ann likes books, bob games, eve wine
    raw = x[:, 0] + 2.0 * liked - 1.5 + rng.logistic(size=n) * noise
    x[rng.random(n) < 0.1, 1] = np.nan
    return RankingData(
        x.astype(np.float32), ("a", "b"), (raw > 0).astype(np.float32), np.ones(n, np.float32),
        np.arange(0, n + 1, size), user, item, np.zeros(n), validation=validation, schema=schema,
    )  # fmt: skip


def as_batch(x, user=(1,), items=None, names=("a", "b")):
    size = len(x) // len(user)
    lists = items or [list(range(1, size + 1))] * len(user)
    return Candidates.from_lists(
        lists,
        features=np.asarray(x, np.float32),
        feature_names=names,
        requests=Requests.build(np.array(user)),
    )


X = np.random.default_rng(7).normal(size=(60, 2)).astype(np.float32)
X[::9, 1] = np.nan
BATCH = as_batch(X, user=(1, 2, 0))


@pytest.fixture(scope="module", params=NETS, ids=repr)
def net(request):
    return clone(request.param).fit(make_data())


def by_torch(net, batch):
    """The same network in torch's own modules, inputs computed by hand."""
    x = batch.features[:, [batch.feature_names.index(name) for name in net.feature_names_]]
    missing = np.isnan(x)
    x = np.where(missing, 0.0, (x - net.transform_.mean) / net.transform_.scale)
    parts = [
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(missing[:, [net.feature_names_.index("b")]]).float(),
    ]
    for name in net.embeddings or {}:
        table = torch.nn.Embedding.from_pretrained(torch.tensor(net.weights_[f"embedding/{name}"]))
        # All three users are known, in the order of their codes.
        rows = batch.user if name == "user" else make_schema().items.column("kind")[batch.item]
        parts.append(table(torch.tensor(rows)))
    x = torch.cat(parts, dim=1)

    def linear(name, bias=True):
        weight = torch.tensor(net.weights_[f"{name}w0" if name.endswith("/") else name])
        layer = torch.nn.Linear(*weight.shape, bias=bias)
        layer.weight.data = weight.T
        if bias:
            layer.bias.data = torch.tensor(
                net.weights_[f"{name}b0" if name.endswith("/") else name.replace("w", "b")]
            )
        return layer

    def deep(x):
        for i in range(len(net.hidden)):
            x = torch.nn.functional.relu(linear(f"w{i}")(x))
        return x

    with torch.no_grad():
        if isinstance(net, NeuralNet):
            raw = linear("out/")(deep(x))
        else:
            crossed = x
            for i in range(net.n_layers):
                crossed = x * linear(f"cross{i}/")(crossed) + crossed
            if net.structure == "parallel" and net.hidden:
                raw = linear("out/")(deep(x)) + linear("cross_out/", bias=False)(crossed)
            else:
                raw = linear("out/")(deep(crossed))
        return (torch.sigmoid(raw) if net.loss == "log" else raw)[:, 0].numpy()


def test_scores_as_torch_does(net):
    score = net.score(BATCH)
    assert score.dtype == np.float32 and score.std() > 0.05
    np.testing.assert_allclose(score, by_torch(net, BATCH), atol=1e-5)


def test_batch_equals_single(net):
    single = [net.score(BATCH.take_rows(np.array([b]))) for b in range(3)]
    np.testing.assert_allclose(np.concatenate(single), net.score(BATCH), atol=1e-6)


def test_features_by_name_and_inputs_left_alone(net):
    x = X.copy()
    x.flags.writeable = False
    moved = replace(BATCH, features=np.ascontiguousarray(x[:, ::-1]), feature_names=("b", "a"))
    expected = net.score(BATCH)
    np.testing.assert_array_equal(net.score(moved), expected)
    bound = net.bind(make_schema(names=("b", "a")))
    np.testing.assert_array_equal(bound.score(moved), expected)
    np.testing.assert_array_equal(X, x)


def test_saves_without_pickle(net):
    np.testing.assert_array_equal(from_state(*to_state(net)).score(BATCH), net.score(BATCH))


def test_serving_needs_no_torch(tmp_path):
    net = clone(NETS[0]).fit(make_data(20))
    save_state(tmp_path / "net", net)
    code = f"""
import sys, numpy as np
from recokit.data import Candidates, load_state
net, _ = load_state({str(tmp_path / "net")!r})
batch = Candidates.from_lists([[1, 2]], features=[[0.5, 1.0], [1.0, 2.0]], feature_names=["a", "b"])
assert np.isfinite(net.score(batch)).all()
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_seed_gives_the_same_weights_and_leaves_torch_alone():
    data = make_data(30)
    before = torch.random.get_rng_state(), torch.get_num_threads()
    fits = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        fits.append(clone(NETS[0]).fit(data))
    torch.set_num_threads(before[1])
    assert torch.equal(torch.random.get_rng_state(), before[0])
    for name, array in fits[0].weights_.items():
        np.testing.assert_array_equal(array, fits[1].weights_[name])
    other = NeuralNet((16, 8), random_state=1, **QUICK).fit(data)
    assert not np.array_equal(other.weights_["w1"], fits[0].weights_["w1"])


class TestEmbeddings:
    def test_find_what_each_user_likes(self):
        net = NeuralNet((16,), embeddings={"item.kind": 4, "user": 4}, **QUICK).fit(make_data(150, noise=0.2))
        zeros = np.zeros((9, 2), np.float32)
        score = net.score(as_batch(zeros, (1, 2, 3), [[1, 2, 3]] * 3)).reshape(3, 3)
        kinds = make_schema().items.column("kind")[1:4]
        for user in (1, 2, 3):
            assert np.argmax(score[user - 1]) == np.flatnonzero(kinds == user)[0]
        plain = NeuralNet((16,), **QUICK).fit(make_data(150, noise=0.2))
        assert np.ptp(plain.score(as_batch(zeros, (1, 2, 3), [[1, 2, 3]] * 3))) < 1e-6  # BLAS rounds by row

    def test_ids_keep_their_meaning_under_other_codes(self):
        net = clone(NETS[0]).fit(make_data())
        other = make_schema(users=("zoe", "eve", "ann"), items=(170, 102, 100))
        bound = net.bind(other)
        x = np.zeros((2, 2), np.float32)
        expected = net.score(as_batch(x, (3,), [[1, 3]]))  # eve, on 100 and 102
        np.testing.assert_array_equal(bound.score(as_batch(x, (2,), [[3, 2]])), expected)
        # zoe and item 170 are new: as nobody, and by its kind
        unknown = net.score(as_batch(x[:1], (0,), [[2]]))
        np.testing.assert_array_equal(bound.score(as_batch(x[:1], (1,), [[1]])), unknown)
        assert len(net.levels_[1].rows) == 4  # the ranker itself stays bound to its own codes

    def test_rare_ids_share_the_embedding_of_the_unknown(self):
        data = make_data()
        user = np.where(np.arange(len(data)) < 20, 3, np.minimum(data.user, 2))
        net = NeuralNet((4,), embeddings={"user": 2}, min_rows=21, **QUICK).fit(replace(data, user=user))
        assert net.levels_[0].values.tolist() == ["ann", "bob"]
        score = net.score(as_batch(np.zeros((4, 2)), (0, 1, 2, 3)))
        assert score[3] == score[0] and len(set(score.tolist())) == 3

    def test_what_is_not_there(self):
        with pytest.raises(ConfigurationError, match=r"training rows without a schema.*hint"):
            clone(NETS[0]).fit(replace(make_data(10), schema=None))
        with pytest.raises(ConfigurationError, match="did you mean 'kind'"):
            NeuralNet(embeddings={"item.kinds": 4}).fit(make_data(10))
        with pytest.raises(ConfigurationError, match=r"embeddings=\{'price': 4\}; expected 'user'"):
            NeuralNet(embeddings={"price": 4})
        with pytest.raises(ConfigurationError, match=r"embeddings=\[\]; expected 'user'"):
            NeuralNet(embeddings=[])
        assert NETS[0].requires == ("item.kind",) and NeuralNet().requires == ()

    def test_in_a_pipeline(self):
        data = rk.testing.toy_dataset()
        net = NeuralNet((8,), embeddings={"item.category": 3, "user": 2}, min_rows=3, n_epochs=2)
        pipeline = rk.Pipeline([candidates.Popular(), features.ItemActivity(), net])
        pipeline.fit(data, label_window="7D")
        assert len(pipeline.recommend(["user-3", None], k=5, now=data.until).ids(0)) == 5
        fitted = pipeline["neural_net"]
        assert set(fitted.levels_[0].values) <= {"books", "games", "garden", "grocery", "wine"}
        with pytest.raises(ConfigurationError, match="did you mean 'category'"):
            rk.Pipeline(
                [candidates.Popular(), features.ItemActivity(), NeuralNet(embeddings={"item.categry": 3})]
            ).fit(data, label_window="7D")


class TestTraining:
    def test_validation_rows_stop_it(self):
        data = make_data(15, noise=3.0)
        held = make_data(30, seed=1, noise=3.0)
        net = NeuralNet((64, 64), dropout=0.0, n_epochs=200, learning_rate=0.01, batch_size=50, refit=False)
        stopped = net.fit(replace(data, validation=held))
        assert len(stopped.scores_) == stopped.best_epoch_ + 3 < 200
        assert stopped.best_epoch_ == np.argmax(stopped.scores_) + 1
        log_loss = self.log_loss(stopped, held)
        np.testing.assert_allclose(-log_loss, stopped.scores_.max(), atol=1e-4)
        overfitted = NeuralNet((64, 64), dropout=0.0, n_epochs=60, learning_rate=0.01, batch_size=50).fit(
            data
        )
        assert np.isnan(overfitted.scores_).all() and overfitted.best_epoch_ == 60
        assert self.log_loss(overfitted, held) > log_loss + 0.02

    @staticmethod
    def log_loss(net, data):
        batch = as_batch(data.features, data.user[data.offsets[:-1]])
        p = np.clip(net.score(batch).astype(np.float64), 1e-9, 1 - 1e-9)
        return -np.mean(np.where(data.label > 0, np.log(p), np.log(1 - p)))

    def test_refit_learns_from_the_validation_rows_too(self):
        data, held = make_data(15), make_data(15, seed=1)
        options = {"n_epochs": 5, "learning_rate": 0.02, "batch_size": 100}
        net = NeuralNet((8,), **options).fit(replace(data, validation=held))
        both = RankingData(
            *(np.concatenate([data.features, held.features]), data.feature_names),
            *(np.concatenate([getattr(data, name), getattr(held, name)]) for name in ("label", "weight")),
            np.arange(0, 601, 20),
            *(np.concatenate([getattr(data, name), getattr(held, name)]) for name in ("user", "item", "now")),
        )
        expected = NeuralNet((8,), **{**options, "n_epochs": net.best_epoch_}).fit(both)
        np.testing.assert_array_equal(net.weights_["w0"], expected.weights_["w0"])

    @pytest.mark.parametrize("label", [0.0, 1.0])
    def test_validation_rows_that_cannot_judge_are_only_learned_from(self, label):
        held = make_data(5, seed=1)
        held = replace(held, label=np.full_like(held.label, label))
        net = NeuralNet((4,), loss="bpr", n_epochs=2).fit(replace(make_data(10), validation=held))
        assert np.isnan(net.scores_).all()

    def test_graded_labels_give_expected_gain(self):
        x = np.repeat(np.array([[0.0], [1.0]], np.float32), 400, axis=0)
        label = np.concatenate([np.full(400, 0.1), np.tile([0.0, 1.0], 200)]).astype(np.float32)
        data = RankingData(x, ("b",), label, np.ones(800, np.float32), np.array([0, 800]), np.ones(800, np.int64),
                           np.arange(1, 801), np.zeros(800))  # fmt: skip
        net = NeuralNet((8,), n_epochs=40, learning_rate=0.02, batch_size=100, dropout=0.0).fit(data)
        batch = as_batch([[0.0], [1.0]], names=("b",))
        np.testing.assert_allclose(net.score(batch), [0.1, 0.5], atol=0.04)

    def test_crosses_find_products(self):
        rng = np.random.default_rng(0)
        x = rng.choice([-1.0, 1.0], (400, 2)).astype(np.float32)
        label = (x[:, 0] * x[:, 1] > 0).astype(np.float32)
        data = replace(make_data(20), features=x, label=label, schema=None)
        batch = as_batch([[1, 1], [1, -1], [-1, -1], [-1, 1]])
        cross = CrossNetwork(1, hidden=(), n_epochs=30, learning_rate=0.05, batch_size=100).fit(data)
        np.testing.assert_array_equal(cross.score(batch) > 0.5, [True, False, True, False])
        assert np.ptp(LogisticRegression().fit(data).score(batch)) < 0.3

    def test_far_out_values_are_cut_off(self):
        net = NeuralNet((8,), **QUICK).fit(make_data())
        score = net.score(as_batch([[50.0, 0.0], [1e30, 0.0], [np.inf, 0.0]]))
        assert score[0] == score[1] and np.isfinite(score).all()


def test_options():
    assert repr(CrossNetwork(3, hidden=(8,))) == "CrossNetwork(3, hidden=(8,))"
    for bad, found in (
        ({"loss": "hinge"}, "loss='hinge'; expected 'log', 'softmax'"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"hidden": (8, 0)}, r"hidden=\(8, 0\)"),
        ({"min_rows": 0}, "min_rows=0"),
        ({"n_epochs": 0}, "n_epochs=0"),
        ({"features": "a"}, "distinct names"),
    ):
        with pytest.raises(ConfigurationError, match=found):
            NeuralNet(**bad)
    with pytest.raises(ConfigurationError, match="structure='serial'"):
        CrossNetwork(structure="serial")
    with pytest.raises(ConfigurationError, match="n_layers=0"):
        CrossNetwork(0)
    with pytest.raises(ConfigurationError, match=r"loss of nan in epoch .*learning_rate below"):
        NeuralNet(learning_rate=1e30, n_epochs=3).fit(make_data(10))


def test_one_request_is_fast():
    rng = np.random.default_rng(0)
    names = tuple(f"f{i}" for i in range(30))
    x = rng.random((1000, 30), dtype=np.float32)
    data = RankingData(x, names, (x[:, 5] > 0.5).astype(np.float32), np.ones(1000, np.float32), np.array([0, 1000]),
                       np.ones(1000, np.int64), np.arange(1, 1001), np.zeros(1000))  # fmt: skip
    net, batch = NeuralNet(n_epochs=1).fit(data), as_batch(x, names=names)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        net.score(batch)
        times.append(time.perf_counter() - start)
    assert min(times) < 3e-3  # 0.3 ms on a free core; the rest is for a busy one
