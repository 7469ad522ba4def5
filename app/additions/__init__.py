"""Models that were added while the service runs: what was asked for, on disk, and how it stands."""
