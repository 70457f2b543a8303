"""Drift: whether what is served still looks like what was trained on."""
