"""The plain reference editor: slow, obvious, and independent of the engine."""
