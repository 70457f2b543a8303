"""Each command by what it prints and returns, called as a shell would."""

from __future__ import annotations

import json

import pytest

import recokit as rk
from recokit._cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name, capsys):
    assert main([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert "--json" in "".join(lines)


def test_help_of_the_whole_names_every_command_and_exit_code(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) <= 24
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert all(f"  {code} " in shown for code in (0, 1, 2, 3, 130, 141))


def test_no_command_is_a_wrong_call(capsys):
    assert main([]) == 2


def test_an_unknown_command_names_the_likely_one(capsys):
    assert main(["evalute"]) == 2
    assert "evaluate" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recokit {rk.__version__}\n"


def test_an_unknown_option_names_the_likely_one(run):
    code, out, err = run("bench model --jsn")
    assert (code, out) == (2, "")
    assert "did you mean --json?" in err


def test_validate(run):
    code, out, _ = run("validate events.csv --items items.csv --now 2025-02-10 --json")
    report = json.loads(out)
    assert code == 0
    assert report["status"] == "warn"
    assert {check["name"] for check in report["checks"]} > {"freshness", "sufficiency"}


def test_validate_fails_where_a_check_fails_and_with_strict_where_one_warns(run):
    assert run("validate events.csv --now 2025-06-01")[0] == 1  # stale
    assert run("validate events.csv --now 2025-02-10 --strict")[0] == 1
    assert run("validate events.csv --now 2025-06-01 --limit max_age=999D")[0] == 0


def test_profile_tells_drift(run, tmp_path):
    code, out, err = run(f"profile events.csv --items items.csv --out {tmp_path}/profile")
    assert code == 0
    assert "seller" in out
    assert "saved" in err
    assert run(f"profile events.csv --items items.csv --against {tmp_path}/profile")[0] == 0
    changed = tmp_path / "items.csv"
    changed.write_text(
        "item_id,seller\n" + "".join(f"item-{i},only\n" for i in range(1, 61)), encoding="utf-8"
    )
    code, out, _ = run(f"profile events.csv --items {changed} --against {tmp_path}/profile --json")
    assert code == 1
    assert json.loads(out)["drift"]["status"] == "fail"


def test_fit_takes_the_data_of_the_code_and_trusted_classes(run, tmp_path):
    code, out, _ = run(f"fit shop_code.py --until 2025-01-31 --out {tmp_path}/model --json")
    told = json.loads(out)
    assert code == 0
    assert "merge.item_knn" in told["stages"]
    assert rk.Pipeline.load(tmp_path / "model").fingerprint == told["fingerprint"]
    assert run(f"fit shop_code.py:lucky events.csv --out {tmp_path}/lucky")[0] == 0
    code, _, err = run(f"recommend {tmp_path}/lucky user-1")
    assert code == 3
    assert "Lucky" in err
    code, out, _ = run(f"recommend {tmp_path}/lucky user-1 --trust shop_code.py --json")
    assert code == 0
    assert len(json.loads(out)["items"]) == 10


def test_recommend_is_what_the_pipeline_recommends(run, shop):
    pipeline = rk.Pipeline.load(shop / "model")
    code, out, _ = run("recommend model user-3 nobody -k 4 --json")
    lines = [json.loads(line) for line in out.splitlines()]
    expected = pipeline.recommend(["user-3", "nobody"], 4, now=pipeline.fitted_until)
    assert code == 0
    assert [line["user_id"] for line in lines] == ["user-3", "nobody"]
    assert [[item["item_id"] for item in line["items"]] for line in lines] == [
        expected.ids(0),
        expected.ids(1),
    ]
    assert run("recommend model user-3 -k 4")[1].count("item-") >= 4


def test_evaluate_and_its_gates(run, tmp_path):
    line = "evaluate model events.csv --metrics NDCG@10 Recall@20"
    code, out, _ = run(f"{line} --json")
    found = json.loads(out)
    mean = next(s["mean"] for s in found["scores"] if (s["metric"], s["segment"]) == ("NDCG@10", "all"))
    assert code == 0
    assert 0 < mean < 1
    assert run(f"{line} --at-least NDCG@10={mean - 1e-6}")[0] == 0
    code, _, err = run(f"{line} --at-least NDCG@10={mean + 1e-3}")
    assert code == 1
    assert "expected at least" in err
    assert run(f"fit shop_code.py:lucky events.csv --until 2025-01-31 --out {tmp_path}/other")[0] == 0
    code, out, _ = run(f"{line} --trust shop_code.py --baseline {tmp_path}/other --json")
    assert json.loads(out)["gate"]["passed"] is (code == 0)
    assert run(f"{line} --at-least MAP@10=0.1")[0] == 2


def test_preflight_counts_what_is_in_the_way(run, tmp_path):
    line = f"preflight model events.csv --items items.csv --requests 5 --out {tmp_path}/p.html"
    code, out, err = run(f"{line} --json")
    told = json.loads(out)
    assert code == 1
    assert "rules.stock" in told["in_the_way"]
    assert "rules.stock" in err
    assert "Launch checklist" in (tmp_path / "p.html").read_text(encoding="utf-8")
    assert (
        "rules.stock" not in json.loads(run(f"{line} --allow-unchecked rules.stock --json")[1])["in_the_way"]
    )


def test_diagnose(run):
    code, out, _ = run("diagnose model user-3 --json")
    assert code == int(json.loads(out)["diagnosis"] != "NO_OBVIOUS_ISSUE")
    assert run("diagnose model --sample 5")[1].startswith("5 users")


def test_publish_refuses_a_model_that_answers_otherwise(run, tmp_path):
    line = f"publish model {tmp_path}/store --golden {tmp_path}/golden"
    assert run(line)[0] == 2  # no questions yet
    assert run(f"{line} --new-golden")[0] == 0
    assert run(f"fit shop_code.py:lucky events.csv --until 2025-01-31 --out {tmp_path}/other")[0] == 0
    other = f"publish {tmp_path}/other {tmp_path}/store --golden {tmp_path}/golden --trust shop_code.py"
    code, out, err = run(f"{other} --json")
    assert code == 1
    assert json.loads(out)["version"] is None
    assert "not_owned" in err
    assert run(f"recommend {tmp_path}/store user-3 --json")[1] == run("recommend model user-3 --json")[1]


def test_bench(run):
    code, out, _ = run("bench model --requests 5 --batch 8 --json")
    told = json.loads(out)
    assert code == 0
    assert 0 < told["p50_ms"] <= told["p99_ms"]
    assert told["stages_ms"]["merge.item_knn"] > 0
    assert run("bench model --requests 5 --batch 8 --max-p99-ms 0.001")[0] == 1
