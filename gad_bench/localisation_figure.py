"""Which heat maps a run shows, and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.data.images import read_image
from gad_bench.evaluation import Scores
from gad_bench.evaluation.metrics import auroc
from gad_bench.figures import save_figure
from gad_bench.localise import Localised

EACH = 3
"""Images of each kind."""
SIDE = 240
"""The longer side of a picture, in pixels."""
BEYOND = 0.995
"""Share of good images' pixels below the contour, where no mask says better."""


def draw_localisation(output: Path, localised: Localised, scores: Scores) -> None:
    """Draw localisation.png: image, mask, heat map and contour of the most telling test images.

    Args:
        output: the folder.
        localised: their heat maps.
        scores: their images' scores.
    """
    from gad_bench.evaluation.heat_figure import draw_heat_maps

    groups = {
        name: [_picture(localised, scores, int(row)) for row in rows]
        for name, rows in _chosen(localised, scores).items()
    }
    figure = draw_heat_maps(groups, _threshold(localised), _limits(localised))
    save_figure(figure, output / "localisation.png")


def _chosen(localised: Localised, scores: Scores) -> dict[str, NDArray[np.intp]]:
    """Return rows of the test images: defects found best and worst, and undecided images.

    A defect is found well where its pixels rank high in its image; without masks, where the image
    scores high.
    """
    anomalous = np.flatnonzero(scores.labels == 1)
    known = anomalous[localised.maps.known[anomalous]]
    if len(known):
        quality = np.array([_quality(localised, int(row)) for row in known])
        ranked = known[np.argsort(-quality, kind="stable")]
    else:
        ranked = anomalous[np.argsort(-scores.combined[anomalous], kind="stable")]
    undecided = np.argsort(np.abs(scores.combined - _boundary(scores)), kind="stable")
    return {
        "defects found best": ranked[:EACH],
        "defects found worst": ranked[::-1][:EACH],
        "borderline: scores between good and anomalous": undecided[:EACH],
    }


def _quality(localised: Localised, row: int) -> float:
    """Return the AUROC of an image's pixels, on a small copy."""
    height, width = _small(*localised.maps.shapes[row])
    mask = _shrunk(localised.maps.mask(row), height, width)
    if mask.all():
        return 1.0
    return auroc(mask.ravel(), localised.maps.heat.at_size(row, height, width).ravel())


def _boundary(scores: Scores) -> float:
    """Return the score at which true less false positive rate is highest (Youden 1950)."""
    candidates = np.unique(scores.combined)
    good = np.sort(scores.combined[scores.labels == 0])
    anomalous = np.sort(scores.combined[scores.labels == 1])
    false, missed = (
        np.searchsorted(values, candidates) / len(values) for values in (good, anomalous)
    )
    return float(candidates[np.argmax(false - missed)])


def _threshold(localised: Localised) -> tuple[float, str]:
    """Return where the contour runs, and what that is."""
    if "pixel_f1_threshold" in localised.metrics:
        return localised.metrics["pixel_f1_threshold"], "the threshold of the best pixel F1"
    good = localised.maps.heat.grids[(localised.maps.tested["label"] == 0).to_numpy()]
    return float(np.quantile(good, BEYOND)), f"the {BEYOND:.1%} quantile of good images"


def _limits(localised: Localised) -> tuple[float, float]:
    """Return the distances at the ends of the colour scale, the same for all images."""
    low, high = np.quantile(localised.maps.heat.grids, [0.5, 0.995])
    return float(low), float(high)


def _picture(localised: Localised, scores: Scores, row: int) -> Any:  # noqa: ANN401 - a Picture
    import cv2

    from gad_bench.evaluation.heat_figure import Picture

    maps = localised.maps
    height, width = _small(*maps.shapes[row])
    image = cv2.resize(
        read_image(maps.tested["path"].iloc[row]), (width, height), interpolation=cv2.INTER_AREA
    )
    return Picture(
        image=np.asarray(image, np.uint8),
        mask=_shrunk(maps.mask(row), height, width) if maps.known[row] else None,
        heat=maps.heat.at_size(row, height, width),
        title=f"{maps.tested['defect'].iloc[row]}  {scores.combined[row]:#.3g}",
        anomalous=bool(scores.labels[row]),
    )


def _small(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    return max(1, round(SIDE * height / longest)), max(1, round(SIDE * width / longest))


def _shrunk(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Return a small mask, in which no defect is lost."""
    import cv2

    area = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(area > 0)
