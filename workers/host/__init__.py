"""The live model, and how a version comes to be: computed on a shadow, verified, committed, published."""
