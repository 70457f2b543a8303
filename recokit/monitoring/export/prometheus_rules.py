"""Alert rules for Prometheus, over the metrics of monitors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from recokit.monitoring.alerts.rules import ShareAbove
from recokit.monitoring.export.grafana import names_in, served_by
from recokit.monitoring.monitor import Monitor


@dataclass(frozen=True)
class _Rule:
    alert: str
    expr: str
    wait: str
    severity: str
    summary: str


def _requests(status: str = "") -> str:
    return f"sum(rate(recokit_requests_total{status}[5m]))"


def _slow(stage: str, count: str, by: str = "") -> str:
    """Return the condition that p95 is above twice the baseline: the share of slow runs, with enough runs to tell."""
    grouped = f"sum by ({by}) " if by else "sum"
    on = f" on ({by})" if by else ""
    slow = f"{grouped}(rate(recokit_slow_runs_total{stage}[1m])) / {grouped}(rate({count}[1m]))"
    return f"{slow} > 0.05 and{on} {grouped}(increase({count}[1m])) >= 50"


def _status(name: str) -> str:
    limit = ShareAbove.LIMITS[name]
    return _requests('{status="' + name + '"}') + f" / {_requests()} > {limit:g}"


def _share(above: str, below: str, by: str, span: str) -> str:
    return f"(sum by ({by}) (rate({above}[{span}])) / sum by ({by}) (rate({below}[{span}])))"


def _missing(span: str) -> str:
    return _share("recokit_feature_missing_total", "recokit_feature_rows_total", "feature", span)


def _answered(span: str) -> str:
    return _share("recokit_source_answers_total", "recokit_source_calls_total", "source", span)


_CTR = "sum by (group) (increase(recokit_clicks_total[1d])) / sum by (group) (increase(recokit_impressions_total[1d]))"
_CTR_ALL = "scalar(sum(increase(recokit_clicks_total[1d])) / sum(increase(recokit_impressions_total[1d])))"
_IMPRESSIONS = "sum by (group) (increase(recokit_impressions_total[1d]))"
_COVERAGE = 'max(recokit_catalog_coverage_ratio{period="day",users="all",items="all"})'

_RULES = (
    _Rule(
        "RecokitSlowRun",
        _slow('{stage="total"}', "recokit_request_duration_seconds_count"),
        "30s",
        "page",
        "{{ $value | humanizePercentage }} of the runs take more than twice the baseline's p95",
    ),
    _Rule(
        "RecokitSlowStage",
        _slow('{stage!="total"}', "recokit_stage_duration_seconds_count", "stage"),
        "30s",
        "page",
        "{{ $labels.stage }} takes more than twice its baseline's p95 in {{ $value | humanizePercentage }} of the runs",
    ),
    _Rule(
        "RecokitOverBudget",
        "sum by (phase) (rate(recokit_budget_overruns_total[5m])) / "
        "scalar(sum(rate(recokit_request_duration_seconds_count[5m]))) > 0.01",
        "5m",
        "ticket",
        "{{ $labels.phase }} is over its budget in {{ $value | humanizePercentage }} of the runs",
    ),
    *(
        _Rule(
            f"Recokit{name.capitalize()}",
            _status(name),
            "2m",
            "page",
            f"{{{{ $value | humanizePercentage }}}} {text}",
        )
        for name, text in (
            ("fallback", "of the requests were filled up by the fallback"),
            ("empty", "of the requests were answered with nothing"),
            ("failed", "of the requests failed because a hard rule could not be checked"),
        )
    ),
    _Rule(
        "RecokitStageErrors",
        f"sum by (stage) (rate(recokit_stage_errors_total[5m])) / scalar({_requests()}) > "
        f"{ShareAbove.LIMITS['error']:g}",
        "2m",
        "page",
        "{{ $labels.stage }} failed on {{ $value | humanizePercentage }} of the requests",
    ),
    _Rule(
        "RecokitCacheMisses",
        _share("recokit_cache_misses_total", "recokit_cache_reads_total", "store", "5m")
        + f" > {ShareAbove.LIMITS['miss']:g}",
        "5m",
        "ticket",
        "{{ $labels.store }} lacks {{ $value | humanizePercentage }} of the rows that are read",
    ),
    _Rule(
        "RecokitDeadSource",
        f"{_answered('1m')} < 0.5 * {_answered('1d')} and "
        "sum by (source) (increase(recokit_source_calls_total[1m])) >= 20",
        "0s",
        "page",
        "{{ $labels.source }} finds candidates in {{ $value | humanizePercentage }} of the calls only",
    ),
    _Rule(
        "RecokitCoverageDrop",
        f"{_COVERAGE} < 0.7 * avg_over_time({_COVERAGE}[7d:1h])",
        "1h",
        "ticket",
        "{{ $value | humanizePercentage }} of the catalogue were shown yesterday, much less than in the week before",
    ),
    _Rule(
        "RecokitFeatureMissing",
        f"{_missing('30m')} > {_missing('7d')} + 0.2",
        "15m",
        "ticket",
        "{{ $labels.feature }} is missing in {{ $value | humanizePercentage }} of the candidates",
    ),
    _Rule(
        "RecokitFeatureStale",
        "max by (stage) (recokit_feature_age_seconds) > 86400",
        "10m",
        "ticket",
        "the data of {{ $labels.stage }} is {{ $value | humanizeDuration }} old",
    ),
    _Rule(
        "RecokitFeatureDrift",
        "max(recokit_features_drifted) > 0",
        "1h",
        "ticket",
        "{{ $value }} features no longer look like in training",
    ),
    _Rule(
        # A binomial test: impressions of a user are alike, hence four standard errors and 10% below, not three.
        "RecokitClickRate",
        f"({_CTR}) < 0.9 * {_CTR_ALL} and {_IMPRESSIONS} >= 10000 and "
        f"(({_CTR}) - {_CTR_ALL}) / sqrt({_CTR_ALL} * (1 - {_CTR_ALL}) / {_IMPRESSIONS}) < -4",
        "1h",
        "ticket",
        "the click rate of group {{ $labels.group }} is {{ $value | humanizePercentage }}, surely below that of all",
    ),
)


def prometheus_rules(monitors: Sequence[Monitor]) -> str:
    """Return a rule file for Prometheus, with the alerts that the monitors' metrics allow.

    They are the rules of :func:`standard_rules` as far as PromQL can say them; those in code know standard errors.

    Parameters
    ----------
    monitors : sequence of Monitor
        Those that are exported.

    Returns
    -------
    str
        YAML.

    Examples
    --------
    >>> from recokit.monitoring import LatencyMonitor
    >>> [line.strip() for line in prometheus_rules([LatencyMonitor()]).splitlines() if "alert:" in line]
    ['- alert: RecokitSlowRun', '- alert: RecokitSlowStage', '- alert: RecokitOverBudget']
    """
    served = served_by(monitors)
    lines = ["groups:", "  - name: recokit", "    rules:"]
    for rule in _RULES:
        if names_in(rule.expr) <= served:
            lines += [
                f"      - alert: {rule.alert}",
                f"        expr: {json.dumps(rule.expr)}",
                f"        for: {rule.wait}",
                f"        labels: {{severity: {rule.severity}}}",
                f"        annotations: {{summary: {json.dumps(rule.summary)}}}",
            ]
    return "\n".join(lines) + "\n"
