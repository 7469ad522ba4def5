"""A fleet as people have it: vLLM servers and a follower, each a process of its own."""
