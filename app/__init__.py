"""The front end: checks requests, queues jobs, reports on them, forwards questions; and ``domain``, which is shared."""
