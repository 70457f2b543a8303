"""Saved state: objects as JSON and arrays behind checksums, without pickle."""
