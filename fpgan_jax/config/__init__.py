"""What a valid config is: one declaration a field, checks, the hash that names a run, files, the page of fields."""
