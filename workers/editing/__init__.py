"""Locate-then-edit: pure torch and transformers. No Redis, no HTTP, no settings."""
