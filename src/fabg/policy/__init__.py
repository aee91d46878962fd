"""Observation in, expression chunk out."""
