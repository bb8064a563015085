"""Files in and out: the only place where objects of foreign libraries appear."""
