"""Data files as people have them, read into facts; pure, and the same for the service and its client."""
