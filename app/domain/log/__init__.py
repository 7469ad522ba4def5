"""The edit log: versions as files. A change has happened if, and only if, it is committed there."""
