"""A worker as others see it: its HTTP, its card in Redis, its measurements."""
