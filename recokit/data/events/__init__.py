"""The event log in forms that answer fast: counts as of any time, histories, what came in since."""
