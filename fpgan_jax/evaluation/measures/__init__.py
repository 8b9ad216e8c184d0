"""One file a family of measures; none knows how its numbers are shown."""
