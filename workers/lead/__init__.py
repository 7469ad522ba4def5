"""Who leads a model's log, who follows it, and how one becomes the other."""
