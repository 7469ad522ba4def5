"""Versions written down for others to load: one file a format. Each export is loaded back and compared."""
