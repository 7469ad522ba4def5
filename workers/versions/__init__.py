"""From the edit log to weights, and from weights to what the log keeps."""
