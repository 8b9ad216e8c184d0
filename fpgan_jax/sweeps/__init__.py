"""Many runs of one config, each with some fields overridden."""
