"""Statistics that evaluation, monitoring, debugging and experiments share."""
