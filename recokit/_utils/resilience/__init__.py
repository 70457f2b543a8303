"""Resilience: calls of what may fail, hang or be slow. It knows no stage, store or service."""
