"""A model that nobody has seen is looked at: statistics from its own texts, and hyperparameters that hold."""
