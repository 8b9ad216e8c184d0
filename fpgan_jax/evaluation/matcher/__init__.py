"""Matching prints of several impressions a finger: who is compared with whom, alignment, sensors, several matchers."""
