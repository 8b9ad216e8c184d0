"""Comparing prints: NIST's programs and others, scale, alignment, who is compared with whom."""
