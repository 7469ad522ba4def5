"""The workers: each holds one model, applies edits to it one batch after another, and answers questions."""
