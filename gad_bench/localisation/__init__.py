"""Where in an image the anomaly is: heat maps from local features."""

from gad_bench.localisation.heat import HeatMaps
from gad_bench.localisation.interface import FittedLocalisation, Localisation, NoLocalisation

__all__ = ["FittedLocalisation", "HeatMaps", "Localisation", "NoLocalisation"]
