"""Experiments: sequences of edits, scored as the literature scores them, in folders that can be resumed."""
