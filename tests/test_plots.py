"""Pictures of reports show the reports' own numbers."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, monitoring, rankers, rules
from recokit._utils.report import Report
from recokit.errors import ConfigurationError

pytest.importorskip("matplotlib")

#: Reports that are a sentence or a table of settings: nothing in them has a length or a place.
WITHOUT = {
    "Answer", "Comparison", "Confirmation", "DataProfile", "DimensionAdvice", "Disclosure", "Difference", "DrillReport",
    "Erasure", "FeatureTable", "GoldenReport", "ImpressionReport", "Overlap", "Plan", "PositionBias", "Preference",
    "RankingData", "Report", "SamplerAudit", "Schema", "SplitEvaluations", "Timing", "TrainingSet", "WeightReport",
}  # fmt: skip


@pytest.fixture(scope="module")
def data() -> rk.Dataset:
    return rk.testing.toy_dataset()


@pytest.fixture(scope="module")
def pipeline(data) -> rk.Pipeline:
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=30),
        rules.NotOwned(),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.MaxPerGroup("seller", 2),
    ]
    return rk.Pipeline(stages, fallback=candidates.Popular(half_life=None)).fit(
        data, label_window="7D", windows=1
    )


@pytest.fixture(scope="module")
def result(pipeline, data):
    return pipeline.recommend(["user-3"], k=5, now=data.until)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def row_names(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_every_report_has_a_picture_or_says_that_it_has_none():
    for module in pkgutil.walk_packages(rk.__path__, "recokit."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    without = {
        cls.__name__
        for cls in _below(Report)
        if not hasattr(cls, "plot") and cls.__module__[:8] == "recokit."
    }
    assert without <= WITHOUT


def _below(cls: type) -> set[type]:
    return {cls} | {part for sub in cls.__subclasses__() for part in _below(sub)}


def test_a_trace_is_a_funnel_and_a_waterfall(result):
    ax = result.trace.plot()
    by_name = dict(zip(row_names(ax), texts(ax), strict=True))
    event = {event.name: event for event in result.trace.events}
    assert by_name["merge.popular"] == str(event["merge.popular"].n_out)
    assert by_name["candidates"] == str(event["merge"].n_out)
    assert by_name["list"] == "5"
    if event["not_owned"].removed:
        assert by_name["not_owned"] == f"{event['not_owned'].n_out}, took {event['not_owned'].removed}"
    assert ax.get_title(loc="left") == "From candidates to a list"
    spans = result.trace.plot_latency()
    assert row_names(spans) == [event.name for event in result.trace.events]
    np.testing.assert_allclose(
        [bar.get_x() for bar in spans.patches], [1e3 * event.started for event in result.trace.events]
    )


def test_a_pipeline_is_a_diagram_with_the_counts_of_a_run(pipeline, result):
    bare = texts(pipeline.plot())
    assert bare[:2] == ["hydrate", "user_history"]
    assert bare[-2:] == ["fallback", "popular"]
    counted = texts(pipeline.plot(result.trace))
    assert counted[counted.index("logistic_regression") + 1] == str(
        result.trace.of("logistic_regression")[0].n_out
    )


def test_diagnoses_are_funnels_under_their_verdict(pipeline, data):
    debugger = rk.RecommendationDebugger(pipeline)
    one = debugger.diagnose("user-3", now=data.until)
    assert one.plot().get_title(loc="left").startswith(one.verdict)
    assert texts(one.plot())[-1] == "10"
    many = debugger.diagnose_many(["user-3", "user-4"], now=data.until)
    assert many.plot().get_title(loc="left").replace("\n", " ") == f"{many.verdict}; mean of 2 users"


def test_sources_show_recall_and_what_each_alone_finds(data):
    train, test = data.split_at(data.until - 7 * 86_400)
    merge = candidates.Merge([candidates.ItemKNN(), candidates.Popular()]).fit(train)
    report = candidates.report(merge, train, test, k=(5, 20))
    ax = report.plot(5)
    assert row_names(ax) == ["item_knn", "popular", "together", "fused"]
    knn = report["item_knn"]
    assert texts(ax)[0] == f"{knn.recall[5]:.3f}, alone {knn.only[5]:.3f}"
    assert texts(ax)[2] == f"{report['together'].recall[5]:.3f}"
    assert [bar.get_width() for bar in ax.patches[4:6]] == [knn.only[5], report["popular"].only[5]]
    assert "Recall@20" in report.plot().get_title(loc="left")
    with pytest.raises(ConfigurationError, match="found k=7; expected one of 5, 20"):
        report.plot(7)


def test_rules_show_what_they_took(pipeline, data):
    report = rules.report(pipeline.recommend(list(data.user_ids.ids[:20]), now=data.until, capture="full"))
    ax = report.plot()
    taken = report["not_owned"]
    assert (
        texts(ax)[row_names(ax).index("not_owned")] == f"{taken.removed / taken.n_in:.1%} of {taken.n_in:,}"
    )


def test_training_shows_the_ceiling(pipeline):
    report = pipeline.training_report_
    ax = report.plot()
    window = report.windows[0]
    assert texts(ax)[0].endswith(f"ceiling {window.ceiling:.0%}")
    assert ax.patches[len(report.windows)].get_width() == window.positives


def test_checks_show_the_worst_of_each_name(data):
    report = rk.validate(data, now=data.until + 90 * 86_400)
    ax = report.plot()
    assert sorted(row_names(ax)) == sorted(report.names)
    assert report[row_names(ax)[0]].status == report.status == "fail"


def test_drift_shows_what_drifted_first():
    rng = np.random.default_rng(0)
    profile = monitoring.ReferenceProfile.of(
        {"age": rng.normal(40, 9, 3000), "price": rng.normal(20, 5, 3000)}
    )
    monitor = monitoring.DriftMonitor(profile)
    monitor.observe({"age": rng.normal(40, 9, 3000), "price": rng.normal(40, 5, 3000)})
    made = monitor.report().plot_columns()
    assert [ax.get_title(loc="left") for ax in made.axes] == ["price, drifted", "age"]
    assert made.axes[0].patches[0].get_height() == profile.numbers["price"].shares[0]


def test_comparisons_and_gates(data, pipeline):
    train, test = data.split_at(data.until - 7 * 86_400)
    models = {
        "popular": rk.Pipeline([candidates.Popular()]).fit(train),
        "knn": rk.Pipeline([candidates.ItemKNN()]).fit(train),
    }
    found = rk.evaluate(models, test, ["NDCG@10", "Recall@10"], history=train)
    compared = found.compare_all("popular")
    ax = compared.plot("Recall@10")
    difference = next(one for one in compared.differences if one.metric == "Recall@10")
    assert row_names(ax) == ["knn"] and texts(ax) == [f"{difference.mean:+.4f}"]
    assert ax.lines[0].get_xdata() == [0.0, 0.0]
    with pytest.raises(
        ConfigurationError, match=r"found no comparison by 'MAP@10'; known: NDCG@10, Recall@10"
    ):
        compared.plot("MAP@10")
    gate = rk.evaluation.Gate(found["popular"], metrics=["NDCG@10"]).check(found["knn"])
    ax = gate.plot()
    assert len(row_names(ax)) == len(gate.conditions)
    assert ax.get_title(loc="left") == f"knn against popular: {gate.verdict}"


def test_exposure_stands_beside_merit(data):
    ledger = diversity.ExposureLedger.of(data, "seller")
    relevance = rankers.FromFunction(lambda batch: np.ones(len(batch.item), np.float32))
    stages = [candidates.Popular(), relevance, diversity.FairExposure(ledger)]
    pipeline = rk.Pipeline(stages, observers=[ledger]).fit(data)
    pipeline.recommend(list(data.user_ids.ids), now=data.until)
    first = max(ledger.table(), key=lambda row: max(row["exposure"], row["merit"]))
    ax = ledger.plot(most=3)
    merit, exposure = ax.collections[1:]
    assert row_names(ax)[0] == first["group"] and len(row_names(ax)) == 3
    assert exposure.get_offsets()[0, 0] == first["exposure"] > 0
    assert merit.get_offsets()[0, 0] == first["merit"]
