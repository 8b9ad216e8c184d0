"""Where a finger's ridges run, apart from how a print looks, and other impressions of the same finger."""
