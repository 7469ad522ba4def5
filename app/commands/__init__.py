"""The commands of `palimpsest` that need no torch, one a file; most of them ask a running service by its client.

Exit status: 0 fine, 1 an error, 2 used wrongly, 3 something does not hold.
"""
