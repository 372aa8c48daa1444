"""Calibration: what is measured and tried when a model is loaded."""
