"""The protocol's table: what enlarges a database, beside real prints, peers and controls, on both chains."""
