"""Composition: sources made of sources, and a stage's options in its place."""
