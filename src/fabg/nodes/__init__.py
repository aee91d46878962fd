"""One thin ROS 2 node a file; each is started with ``python -m fabg.nodes.<name>``."""
