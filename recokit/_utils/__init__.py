"""Helpers that know nothing of recommenders: options, reports, plots, progress, threads."""
