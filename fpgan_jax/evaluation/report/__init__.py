"""How an evaluation is shown: the page, its sections and figures, and the protocol's table."""
