"""Training loops and layers for the models that need torch."""
