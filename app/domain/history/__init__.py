"""What each version of a model consists of, worked out from the manifests of its log."""
