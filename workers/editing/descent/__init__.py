"""Targets by gradient descent: of each forward pass only what depends on δ is run."""
