"""Texts that are told while they are written: many together, one forward pass a token, each from one version."""
