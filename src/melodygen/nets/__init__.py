"""torch modules with flat arguments: no files, no config objects."""
