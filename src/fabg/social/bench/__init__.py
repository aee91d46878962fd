"""The latency benchmark: a grid of episodes that can be interrupted, its scores, its report."""
