"""Launch scripts: one verb each."""
