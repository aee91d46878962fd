"""Pixels in, people out: faces, and what their faces do."""
