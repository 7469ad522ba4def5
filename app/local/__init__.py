"""Everything on one machine: a Redis of its own, the front end, the workers; and the demo that uses them."""
