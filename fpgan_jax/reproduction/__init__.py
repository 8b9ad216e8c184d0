"""The paper's experiments from prints to tables: one set, several seeds, several sets."""
