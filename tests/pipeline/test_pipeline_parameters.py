"""A pipeline's options and parts by name and place, as users of scikit-learn expect them."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.errors import ConfigurationError, NotFittedError
from recokit.testing import toy_dataset


def make() -> rk.Pipeline:
    return rk.Pipeline(
        [
            candidates.Merge(
                [candidates.ItemKNN(n_neighbors=20), candidates.Popular(half_life=None)], limit=60
            ),
            rules.NotSeen(),
            rk.Step(rules.MaxPerGroup("seller", 2), name="per_seller"),
            diversity.MMR(0.7),
        ],
        fallback=candidates.Popular(window="30D"),
    )


class TestOptions:
    def test_by_stage_and_option(self) -> None:
        params = make().get_params()
        assert params["item_knn__n_neighbors"] == 20 and params["merge__limit"] == 60
        assert params["per_seller__maximum"] == 2 and params["mmr__trade_off"] == 0.7
        assert isinstance(params["not_seen"], rules.NotSeen) and params["validate"] is False
        assert {*make().get_params(deep=False)} >= {"stages", "fallback", "observers", "clock", "validate"}
        assert "popular" not in params, "two stages have that name"

    def test_set_and_fit_again(self) -> None:
        data, pipeline = toy_dataset(), make()
        before = pipeline.fit(data)
        changed = pipeline.set_params(item_knn__n_neighbors=3, mmr__trade_off=0.2, validate=True)
        assert changed is before and changed.validate
        assert changed.get_params()["item_knn__n_neighbors"] == 3 and changed["mmr"].trade_off == 0.2
        with pytest.raises(NotFittedError):
            changed.recommend([None], now=data.until)
        assert len(changed.fit(data).recommend([None], k=3, now=data.until).ids(0)) == 3

    def test_whole_stages_by_name(self) -> None:
        pipeline = make().set_params(item_knn=candidates.EASE(), per_seller=rules.MaxShare("seller", 0.5))
        assert pipeline.names[1:] == (
            "merge.ease",
            "merge.popular",
            "not_seen",
            "per_seller",
            "mmr",
            "fallback.popular",
        )

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"item_kn__n_neighbors": 3}, "did you mean 'item_knn'"),
            ({"item_knn__neighbors": 3}, "found no option 'neighbors' of ItemKNN"),
            ({"item_knn__n_neighbors": 0}, "n_neighbors=0"),
            ({"validat": True}, "found no stage 'validat'"),
        ],
    )
    def test_what_is_wrong_changes_nothing(self, wrong: dict[str, Any], message: str) -> None:
        pipeline = make()
        before = repr(pipeline)
        with pytest.raises(ConfigurationError, match=message):
            pipeline.set_params(**wrong)
        assert repr(pipeline) == before

    def test_clones_are_unfitted_and_equal(self) -> None:
        pipeline = make().fit(toy_dataset())
        twin = clone(pipeline)
        assert repr(twin) == repr(pipeline) and twin is not pipeline
        with pytest.raises(NotFittedError):
            twin.recommend([None])
        twin.set_params(item_knn__n_neighbors=5)
        assert pipeline.get_params()["item_knn__n_neighbors"] == 20
        assert repr(rk.Pipeline(**pipeline.get_params(deep=False))) == repr(pipeline)

    def test_stages_alone(self) -> None:
        stage = candidates.ItemKNN(n_neighbors=7)
        assert stage.get_params()["n_neighbors"] == 7 and clone(stage).n_neighbors == 7
        assert stage.set_params(n_neighbors=9) is stage and stage.n_neighbors == 9
        nested = rankers.Calibrated(rankers.LogisticRegression())
        option = next(name for name in nested.get_params() if name.startswith("ranker__"))
        assert option
        with pytest.raises(ConfigurationError, match="found no option 'x' of ItemKNN"):
            stage.set_params(x=1)
        with pytest.raises(ConfigurationError, match="n_neighbors=-1"):
            stage.set_params(n_neighbors=-1)
        assert stage.n_neighbors == 9


class TestPlaces:
    @pytest.mark.parametrize("fitted", [False, True])
    def test_by_place(self, fitted: bool) -> None:
        pipeline = make()
        if fitted:
            pipeline.fit(toy_dataset())
        assert len(pipeline) == 4
        assert isinstance(pipeline[0], candidates.Merge) and isinstance(pipeline[1], rules.NotSeen)
        assert isinstance(pipeline[2], rules.MaxPerGroup) and isinstance(pipeline[-1], diversity.MMR)
        with pytest.raises(IndexError, match="found stage 4; expected 0 to 3"):
            pipeline[4]

    def test_a_fitted_one_gives_fitted_ones(self) -> None:
        pipeline = rk.Pipeline([candidates.ItemKNN(), rules.NotSeen()]).fit(toy_dataset())
        assert pipeline[0].fitted_until_ == toy_dataset().until

    @pytest.mark.parametrize("fitted", [False, True])
    def test_a_slice_is_a_pipeline(self, fitted: bool) -> None:
        data, pipeline = toy_dataset(), make()
        part = pipeline.fit(data)[:2] if fitted else pipeline[:2].fit(data)
        assert part.names == (
            "user_history",
            "merge.item_knn",
            "merge.popular",
            "not_seen",
            "fallback.popular",
        )
        assert len(part.recommend([None], k=5, now=data.until).ids(0)) == 5
        assert pipeline[:4].names == pipeline.names
        with pytest.raises(ConfigurationError, match="source"):
            pipeline[1:]
        with pytest.raises(ConfigurationError, match="slice with step 2"):
            pipeline[::2]


class TestReplace:
    def test_a_stage_of_another_kind_takes_its_own_name(self) -> None:
        data = toy_dataset()
        pipeline = make().fit(data)
        swapped = pipeline.replace("merge.item_knn", candidates.EASE().fit(data))
        assert "merge.ease" in swapped.names and "merge.item_knn" not in swapped.names
        answer = swapped.recommend([None], k=3, now=data.until)
        assert {name for row in answer.sources for name in row} <= {"ease", "popular"}
        assert pipeline.replace("mmr", diversity.DPP()).names[-2:] == ("dpp", "fallback.popular")
        again = pipeline.replace("fallback.popular", candidates.Trending(window="3650D").fit(data))
        assert again.names[-1] == "fallback.trending"

    def test_the_same_kind_and_given_names_stay(self) -> None:
        data = toy_dataset()
        pipeline = make().fit(data)
        assert pipeline.replace("mmr", diversity.MMR(0.1)).names == pipeline.names
        assert pipeline.replace("per_seller", rules.MaxShare("seller", 0.5)).names == pipeline.names
        named = pipeline.replace("mmr", rk.Step(diversity.MMR(0.1), name="varied"))
        assert "varied" in named.names and named["varied"].trade_off == 0.1

    def test_what_a_ranker_learned_from_stays(self) -> None:
        data = toy_dataset()
        stages = [
            candidates.Merge([candidates.ItemKNN(), candidates.Popular()]),
            features.Standard(),
            rankers.LogisticRegression(),
        ]
        pipeline = rk.Pipeline(stages).fit(data, label_window="7D")
        swapped = pipeline.replace("merge.item_knn", candidates.EASE().fit(data))
        assert swapped.names == pipeline.names
        assert len(swapped.recommend([None], k=3, now=data.until).ids(0)) == 3


class TestOneStage:
    def test_needs_no_list(self) -> None:
        for stages in (
            candidates.Popular(half_life=None),
            rk.Step(candidates.Popular(half_life=None), name="all"),
        ):
            assert len(rk.Pipeline(stages).fit(toy_dataset()).recommend([None], k=3, now=2e9).ids(0)) == 3

    @pytest.mark.parametrize(
        "wrong", [None, "popular", {"popular": candidates.Popular()}, 5, candidates.Popular]
    )
    def test_what_is_none_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="found"):
            rk.Pipeline(wrong)


@pytest.mark.parametrize("estimator", [LogisticRegression(), Ridge(), HistGradientBoostingClassifier()])
def test_a_bare_estimator_is_to_be_wrapped(estimator: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"wrap it in rankers\.FromEstimator"):
        rk.Pipeline([candidates.Popular(), features.Standard(), estimator])
