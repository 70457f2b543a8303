"""Exports: Prometheus, Grafana, OpenTelemetry and JSON lines."""
