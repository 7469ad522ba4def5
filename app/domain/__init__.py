"""What the front end and the workers share: the contract, the errors, the edit log, the key names."""
