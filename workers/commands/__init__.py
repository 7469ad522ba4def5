"""The commands of `palimpsest` that need torch, one a file.

torch takes seconds to import, so everything that needs it is imported where a command runs, not when help is shown.
"""
