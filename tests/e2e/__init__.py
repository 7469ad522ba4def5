"""The whole house, as a user meets it: real Redis, real worker, real HTTP, a trained model."""
