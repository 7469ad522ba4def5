"""Who may do what: API keys, the gate in front of all routes, and the scope that each route asks for."""
