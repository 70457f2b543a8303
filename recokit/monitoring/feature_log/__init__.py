"""Feature log: what was served, kept to train on."""
