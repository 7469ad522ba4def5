"""Bytes that are whole or not there: in a directory, or in an object store."""
