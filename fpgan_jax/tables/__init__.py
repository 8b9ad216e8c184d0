"""Rows as CSV files, and tables as text, Markdown, CSV and LaTeX."""
