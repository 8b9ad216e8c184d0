"""The prints of SOCOFing: file names and the TFDS builder."""
