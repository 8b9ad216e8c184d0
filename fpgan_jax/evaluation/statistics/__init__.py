"""Intervals and comparisons of numbers, whatever they measure."""
