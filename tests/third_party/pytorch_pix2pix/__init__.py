"""Tests of `third_party.pytorch_pix2pix`."""
