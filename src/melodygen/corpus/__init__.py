"""From folders of music to training examples: scan, roles, arrangement, shards, examples."""
