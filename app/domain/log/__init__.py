"""The edit log: versions as files. What is committed there happened, what is not did not."""
