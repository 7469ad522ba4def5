"""The package that front end and workers share, and only that; in ``app`` because there are two top-level packages.

Contract, errors, the edit log, and the names that both sides must agree on. It belongs to neither side, and imports no
server, no queue and no Redis client. The workers import nothing else of ``app``.
"""
