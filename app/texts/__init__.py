"""Texts on their way to a caller while they are written, by a worker or by an inference server."""
