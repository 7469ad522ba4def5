"""What an edit did, measured on its facts, their paraphrases and their neighbours."""
