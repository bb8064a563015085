"""Measurement: loss, statistics, copies, baselines, labelled tracks, maps of a collection."""
