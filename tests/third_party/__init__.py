"""Tests of `third_party`."""
