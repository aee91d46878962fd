"""Demonstrations on disk: data sets in LeRobot's v3.0 layout, written episode by episode and read back."""
