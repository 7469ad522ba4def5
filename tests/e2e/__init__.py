"""The whole service, as a user meets it: real Redis, real worker, real HTTP, a trained model."""
