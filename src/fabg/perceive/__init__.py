"""Perception of a video, device or folder without ROS: overlay, table, plots."""
