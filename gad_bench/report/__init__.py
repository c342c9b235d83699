"""The report: tables and plots over many runs, from MLflow or from Hydra's output folders."""
