"""What each version of a model consists of, by its log's own word."""
