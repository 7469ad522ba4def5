"""The bundled atlas models: their facts, corpus and training."""
