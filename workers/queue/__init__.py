"""From a queued job to its outcome. Of the workers, only this folder knows RQ."""
