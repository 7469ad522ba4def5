"""Faults at every step of every kind of job: ``python -m tests.support.crash`` runs them, and counts what was lost."""
