"""The demonstration: run the graph on an input, watch it, and write a report."""
