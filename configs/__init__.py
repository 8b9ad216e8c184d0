"""Configs: one get_config() a file."""
