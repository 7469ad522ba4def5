"""Questions to a model and their answers: rows, batches, scoring, decoding."""
