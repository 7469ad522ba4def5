"""Independent, plain implementations that the engine is compared with. They may repeat what the engine does."""
