"""The HTTP endpoints: each parses, calls, returns."""
