"""What a program meets on its machine: paths, files of other programs, JSON that people edit."""
