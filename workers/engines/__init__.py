"""Inference servers that follow the edit log: a file an engine (``vllm.py``), and what all of them have in common."""
