"""Slices of a large batch on a queue of their own, with what leader and helpers tell each other in Redis."""
