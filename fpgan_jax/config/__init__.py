"""What a valid config is: one declaration per field, checks, the hash that names a run, files, the page of fields."""
