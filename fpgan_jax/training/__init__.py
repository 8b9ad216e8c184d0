"""States, steps, loops and checkpoints."""
