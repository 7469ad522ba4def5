"""The way in for all that changes or exports a model: refused, or accepted and on disk; and what became of it."""
