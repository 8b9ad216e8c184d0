"""What a program meets on its machine: files, locks, signals, processes, progress."""
