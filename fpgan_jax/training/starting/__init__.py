"""How a run begins: new, from another run's weights, or from its own last checkpoint."""
