"""A batch that outgrows a worker: cut into slices, which the model's other workers compute as well."""
