"""Alerts: rules over what monitors count."""
