"""Experiments with results of their own: the worth of prints for training, the matchers' calibration."""
