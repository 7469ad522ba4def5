"""Least squares with previous keys: pure linear algebra, which imports nothing of ours."""
