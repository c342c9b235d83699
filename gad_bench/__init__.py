"""Benchmark harness for image anomaly detection with Gaussians on pretrained deep features."""
