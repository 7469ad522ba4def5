"""A model whose down-projections can be edited: where its parts are, its masters, rows of tokens for it."""
