"""The live model: proposed on a shadow, verified, committed, published."""
