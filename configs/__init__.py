"""Configs: one get_config() per file."""
