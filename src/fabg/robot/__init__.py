"""The 25-joint head: joint table, retargeting, safety limits and the simulated twin."""
