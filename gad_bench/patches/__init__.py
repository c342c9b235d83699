"""Detectors on the patch grid: where in an image the anomaly is."""
