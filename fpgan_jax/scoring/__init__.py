"""Experiment 2: how like the real person a print is, by the classifier; table 2 and the paper's figures."""
