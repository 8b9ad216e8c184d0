"""How sure a number is, and whether two numbers differ; nothing here knows what the numbers measure."""
