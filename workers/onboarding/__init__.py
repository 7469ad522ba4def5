"""Looking at a model that nobody has seen: its own texts, and statistics from them."""
