"""Causal tracing: where a model recalls facts, and the critical layers that follow."""
