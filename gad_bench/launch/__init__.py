"""From a command line to jobs: one run, or a sweep of many."""
