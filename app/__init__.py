"""The front end: checks requests, queues edits, reports jobs, forwards questions. Holds no model."""
