"""A Grafana dashboard of the metrics of monitors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recokit.monitoring.export.prometheus import series_names
from recokit.monitoring.monitor import Monitor

_SERIES = re.compile(r"\brecokit_[a-z_]+\b")
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24


@dataclass(frozen=True)
class _Panel:
    """A graph: title, description, unit of Grafana, and pairs of a legend and a query."""

    title: str
    text: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(metric: str, by: str = "", span: str = "$__rate_interval") -> str:
    return f"sum by ({by}) (rate({metric}[{span}]))" if by else f"sum(rate({metric}[{span}]))"


def _ratio(above: str, below: str, by: str = "", span: str = "$__rate_interval") -> str:
    return f"{_rate(above, by, span)} / {_rate(below, by, span)}"


def _quantile(share: float, metric: str, by: str = "") -> str:
    return f"histogram_quantile({share:g}, {_rate(f'{metric}_bucket', ', '.join(filter(None, ['le', by])))})"


def _outcome(above: str, below: str, by: str) -> tuple[tuple[str, str], ...]:
    return ((f"{{{{{by}}}}}", _ratio(above, below, by, "1d")),)


_ROWS: tuple[tuple[str, tuple[_Panel, ...]], ...] = (
    (
        "Latency",
        (
            _Panel(
                "Duration of a run",
                "Quantiles by buckets, beside the baseline's exact p95; slow runs compare the two.",
                "s",
                (
                    *(
                        (f"p{100 * share:g}", _quantile(share, "recokit_request_duration_seconds"))
                        for share in (0.5, 0.95, 0.99)
                    ),
                    ("baseline p95", 'max(recokit_baseline_duration_seconds{stage="total",percentile="p95"})'),
                ),
            ),
            _Panel(
                "p95 by stage", "Which stage is slow.", "s",
                (("{{stage}}", _quantile(0.95, "recokit_stage_duration_seconds", "stage")),),
            ),
            _Panel(
                "Slow runs", "Share of the runs that take more than twice the baseline's p95; above 5% is an alert.",
                "percentunit",
                (("{{stage}}", _ratio(
                    'recokit_slow_runs_total{stage!="total"}', "recokit_stage_duration_seconds_count", "stage")),
                 ("total", _ratio(
                    'recokit_slow_runs_total{stage="total"}', "recokit_request_duration_seconds_count"))),
            ),
            _Panel(
                "Budget overruns", "Share of the runs in which a phase took more than its budget.", "percentunit",
                (("{{phase}}", f"{_rate('recokit_budget_overruns_total', 'phase')} / scalar("
                  f"{_rate('recokit_request_duration_seconds_count')})"),),
            ),
        ),
    ),
    (
        "Health",
        (
            _Panel(
                "Requests by status", "Requests per second.", "reqps",
                (("{{status}}", _rate("recokit_requests_total", "status")),),
            ),
            _Panel(
                "Errors by stage", "Requests per second that a stage failed on, or was skipped for.", "reqps",
                (("{{stage}}: {{reason}}", _rate("recokit_stage_errors_total", "stage, reason")),
                 ("{{stage}}: skipped", _rate("recokit_stage_skipped_total", "stage"))),
            ),
            _Panel(
                "Cache misses", "Share of the rows read from a store.", "percentunit",
                (("{{store}}", _ratio("recokit_cache_misses_total", "recokit_cache_reads_total", "store")),),
            ),
        ),
    ),
    (
        "Funnel",
        (
            _Panel(
                "Candidates by source", "Candidates per call.", "short",
                (("{{source}}", _ratio("recokit_source_candidates_total", "recokit_source_calls_total", "source")),),
            ),
            _Panel(
                "Calls with an answer", "Share of the calls in which a source found something.", "percentunit",
                (("{{source}}", _ratio("recokit_source_answers_total", "recokit_source_calls_total", "source")),),
            ),
            _Panel(
                "Removed by rule", "Share of the candidates that a rule looked at.", "percentunit",
                (("{{stage}}", _ratio("recokit_rule_removed_total", "recokit_rule_candidates_total", "stage")),),
            ),
        ),
    ),
    (
        "Lists",
        (
            _Panel(
                "Coverage", "Share of the catalogue shown on the last whole day and in the last whole week.",
                "percentunit",
                (("{{period}}, {{items}} items",
                  'max by (period, items) (recokit_catalog_coverage_ratio{users="all"})'),
                 ("{{period}}, {{users}} users",
                  'max by (period, users) (recokit_catalog_coverage_ratio{items="all",users!="all"})')),
            ),
            _Panel(
                "Diversity", "Share of a list's pairs that are of different categories.", "percentunit",
                (("diversity", _ratio("recokit_list_diversity_sum", "recokit_list_diversity_count")),),
            ),
            _Panel(
                "Novelty", "Self-information of the items shown.", "short",
                (("{{users}} users",
                  _ratio("recokit_item_self_information_sum", "recokit_item_self_information_count", "users")),),
            ),
            _Panel(
                "Popularity", "Mean popularity rank of the items shown, 1 the most popular.", "percentunit",
                (("{{users}} users",
                  _ratio("recokit_item_popularity_ratio_sum", "recokit_item_popularity_ratio_count", "users")),),
            ),
            _Panel(
                "New items and cold users", "Share of the items and of the lists.", "percentunit",
                (("new items", _ratio('recokit_listed_items_total{items="new"}', "recokit_listed_items_total")),
                 ("cold users", _ratio('recokit_lists_total{users="cold"}', "recokit_lists_total"))),
            ),
        ),
    ),
    (
        "Features",
        (
            _Panel(
                "Missing values", "The ten features that are missing most often.", "percentunit",
                (("{{feature}}",
                  f"topk(10, {_ratio('recokit_feature_missing_total', 'recokit_feature_rows_total', 'feature')})"),),
            ),
            _Panel(
                "Age of the data", "The oldest data behind each stage.", "s",
                (("{{stage}}", "max by (stage) (recokit_feature_age_seconds)"),),
            ),
            _Panel(
                "Drift", "Population stability index of the ten features that moved most; 0.25 is much.", "short",
                (("{{feature}}", "topk(10, max by (feature) (recokit_feature_psi))"),
                 ("features with a finding", "max(recokit_features_drifted)")),
            ),
        ),
    ),
    (
        "Outcomes",
        (
            _Panel(
                "Click rate by group", "Clicks per impression over a day.", "percentunit",
                _outcome("recokit_clicks_total", "recokit_impressions_total", "group"),
            ),
            _Panel(
                "Conversion by group", "Sessions with a purchase over a day.", "percentunit",
                _outcome("recokit_converted_sessions_total", "recokit_sessions_total", "group"),
            ),
            _Panel(
                "Revenue per session by group", "Over a day, in the currency of the events.", "short",
                _outcome("recokit_revenue_total", "recokit_sessions_total", "group"),
            ),
            _Panel(
                "Click rate of cold users", "Clicks per impression over a day.", "percentunit",
                _outcome("recokit_clicks_total", "recokit_impressions_total", "users"),
            ),
            _Panel(
                "Click rate of new items", "Clicks per impression over a day.", "percentunit",
                _outcome("recokit_clicks_total", "recokit_impressions_total", "items"),
            ),
            _Panel(
                "NDCG by clicks", "Of the lists with a click over a day: whether what was clicked stood first.",
                "percentunit",
                (("{{users}} users", _ratio(
                    'recokit_list_ndcg_sum{items="all"}', 'recokit_list_ndcg_count{items="all"}', "users", "1d")),
                 ("{{items}} items", _ratio(
                    'recokit_list_ndcg_sum{items!="all"}', 'recokit_list_ndcg_count{items!="all"}', "items", "1d"))),
            ),
            _Panel(
                "Events without an impression", "Per second; what was clicked or bought elsewhere.", "short",
                (("{{event}}", _rate("recokit_outcomes_unjoined_total", "event")),),
            ),
        ),
    ),
)  # fmt: skip


def names_in(query: str) -> set[str]:
    """Return the series that a query reads."""
    return set(_SERIES.findall(query))


def served_by(monitors: Iterable[Monitor] | Sequence[type[Monitor]]) -> set[str]:
    """Return the series that monitors export."""
    return {name for monitor in monitors for metric in monitor.metrics for name in series_names(metric)}


def dashboard(monitors: Sequence[Monitor], *, title: str = "recokit") -> dict[str, Any]:
    """Return a dashboard, ready for ``json.dump`` and Grafana's import, with the panels that the monitors can fill.

    Parameters
    ----------
    monitors : sequence of Monitor
        Those that are exported.
    title : str, default "recokit"
        Its title.

    Examples
    --------
    >>> from recokit.monitoring import LatencyMonitor
    >>> [panel["title"] for panel in dashboard([LatencyMonitor()])["panels"]]
    ['Latency', 'Duration of a run', 'p95 by stage', 'Slow runs', 'Budget overruns']
    """
    served = served_by(monitors)
    panels: list[dict[str, Any]] = []
    y = 0
    for heading, row in _ROWS:
        able = [panel for panel in row if all(names_in(query) <= served for _, query in panel.queries)]
        if not able:
            continue
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": heading, "gridPos": place, "panels": []}
        )
        y += 1
        per_line = _COLUMNS // _WIDTH
        for i, panel in enumerate(able):
            at = {"h": _HEIGHT, "w": _WIDTH, "x": i % per_line * _WIDTH, "y": y + i // per_line * _HEIGHT}
            panels.append(_graph(len(panels) + 1, panel, at))
        y += -(-len(able) // per_line) * _HEIGHT
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return {
        "title": title,
        "uid": re.sub(r"[^a-z0-9]+", "-", title.lower())[:40],
        "tags": ["recokit"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _graph(number: int, panel: _Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "gridPos": place,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": query, "legendFormat": legend, "datasource": source}
            for i, (legend, query) in enumerate(panel.queries)
        ],
    }
