"""Where in an image the anomaly is: heat maps from local features."""

from gad_bench.localisation.heat import HeatMaps
from gad_bench.localisation.interface import Localisation, NoLocalisation

__all__ = ["HeatMaps", "Localisation", "NoLocalisation"]
