"""Images whose answers are known, and whether the measures and the verdicts give those."""
