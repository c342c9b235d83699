"""The steps of a run, in the order in which `run.py` takes them."""
