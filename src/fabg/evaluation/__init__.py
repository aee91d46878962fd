"""Accuracy of the parts against ground truth."""
