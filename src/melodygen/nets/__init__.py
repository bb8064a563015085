"""torch modules with flat arguments. They read no files (but ``checkpoint``) and take no config objects."""
