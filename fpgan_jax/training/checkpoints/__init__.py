"""What a run keeps: written whole, checked when read, found again after a crash."""
