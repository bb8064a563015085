"""From folders of music to training examples: scan, shards, dataset, arrangement, views."""
