"""What an edit did, measured: to its facts, their paraphrases, and what stands beside them."""
