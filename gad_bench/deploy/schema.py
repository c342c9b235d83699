"""What a saved detector may be made of: its classes, their arrays' shapes, and what must hold.

All of it is checked before an object is built. The lists are closed: what is not in them is built
only where the reader trusts it by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from gad_bench.deploy.rule import DecisionRule
from gad_bench.evaluation.conformal import Calibration, CrossCalibration
from gad_bench.evaluation.thresholds import CONFORMAL, GAUSSIAN, DistanceLaw
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Backbone, Runtime
from gad_bench.features.local import Embedding
from gad_bench.features.runtime import AutoRuntime, OpenVinoRuntime, TorchRuntime
from gad_bench.features.tiles import TiledBackbone
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.gaussian.baselines import KernelSum, NearestSamples, SupportVectors
from gad_bench.gaussian.combination import (
    Combination,
    Concatenated,
    Maximum,
    Mean,
    StandardisedMean,
    SumOfSquares,
)
from gad_bench.gaussian.detector import FittedBlock, FittedMetric
from gad_bench.gaussian.linear_probe import LogOdds
from gad_bench.gaussian.metric import (
    Metric,
    Projected,
    RootMeanSquare,
    SpectralMahalanobis,
    TriangularMahalanobis,
)
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.normalisation import NoNormalisation, Normalisation, UnitLength
from gad_bench.gaussian.projection import Linear, Projection, Selection, Standardisation
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.gaussian.whitening import Whitening
from gad_bench.patches import FittedPatchDetector, embedding, image_score
from gad_bench.patches.detector import PatchScorer
from gad_bench.patches.heat_maps import LARGEST_SIGMA, FittedLocalisation
from gad_bench.patches.mahalanobis import BlockGaussians
from gad_bench.patches.memory_bank import NearestPatches
from gad_bench.patches.neighbours import Bank
from gad_bench.patches.padim import PositionGaussians
from gad_bench.patches.position_gaussian import PositionGaussians as PatchPositionGaussians
from gad_bench.patches.shared_gaussian import VectorScorer
from gad_bench.patches.subspace import PooledLikelihood, PooledResiduals, Residuals

KINDS: Mapping[Any, tuple[type, ...]] = {
    Backbone: (FilterBank, TiledBackbone, TimmBackbone),
    Runtime: (AutoRuntime, OpenVinoRuntime, TorchRuntime),
    FittedBlock: (FittedMetric,),
    Combination: (Concatenated, Maximum, Mean, StandardisedMean, SumOfSquares),
    Normalisation: (NoNormalisation, UnitLength),
    Projection: (Linear, NoReduction, Selection, Standardisation),
    Metric: (
        *(SpectralMahalanobis, TriangularMahalanobis, RootMeanSquare, Projected),
        *(SupportVectors, NearestSamples, KernelSum, LogOdds),
    ),
    FittedLocalisation: (BlockGaussians, PositionGaussians),
    PatchScorer: (
        *(NearestPatches, PatchPositionGaussians, VectorScorer),
        *(PooledLikelihood, PooledResiduals, Residuals),
    ),
    image_score.FittedImageScore: (
        *(image_score.Maximum, image_score.MeanOfHighest, image_score.FittedMapStatistics),
    ),
}
"""The classes that may stand where a protocol is asked for."""
PARTS = (
    *(FittedModel, DecisionRule, Calibration, CrossCalibration, DistanceLaw, Embedding),
    *(FittedPatchDetector, embedding.Embedding, Bank, Whitening),
)
"""The classes that others name as the types of their fields."""
CLASSES = frozenset(PARTS).union(*KINDS.values())

FIELDS: Mapping[type, Mapping[str, Any]] = {
    embedding.Embedding: {"normalisation": Normalisation},
    NearestPatches: {
        "step": Linear | NoReduction | Selection | Standardisation | UnitLength | Whitening
    },
    Whitening: {"steps": list[Projection]},
}
"""The types of those fields that their classes, for the typed config's sake, declare as any."""

SHAPES: Mapping[type, Mapping[str, str]] = {
    Linear: {"mean": "d", "directions": "dk"},
    Selection: {"features": "k"},
    Standardisation: {"features": "k", "mean": "k", "deviations": "k"},
    SpectralMahalanobis: {"mean": "d", "directions": "dr", "variances": "r"},
    TriangularMahalanobis: {"mean": "d", "triangle": "dd"},
    RootMeanSquare: {"mean": "d", "weights": "d"},
    SupportVectors: {"vectors": "nd", "weights": "n"},
    NearestSamples: {"samples": "nd"},
    KernelSum: {"samples": "nd"},
    LogOdds: {"weights": "d"},
    FittedModel: {"fitted_scores": "nb"},
    Bank: {"entries": "nd"},
    PatchPositionGaussians: {"means": "pd", "whitening": "pdd"},
    embedding.Embedding: {"channels": "k"},
}
"""Of the arrays by field: a letter an axis, the same letter the same length."""

LARGEST_SIDE = 2**14  # pixels of a square input
MOST_OCTAVES, MOST_ORIENTATIONS = 11, 180
MOST_TILES = 2**10
LARGEST_GRID = 2**11  # positions a side of a heat map

Rule = Callable[[Any], Any]
RULES: Mapping[type, Mapping[str, Rule]] = {
    FilterBank: {
        "input_size is no side of an image": lambda own: own.input_size <= LARGEST_SIDE,
        "input_width is no side of an image": lambda own: (own.input_width or 1) <= LARGEST_SIDE,
        "octaves are too many": lambda own: own.octaves <= MOST_OCTAVES,
        "orientations are too many": lambda own: own.orientations <= MOST_ORIENTATIONS,
        "wavelength exceeds the image": lambda own: own.wavelength <= own.input_size,
    },
    TimmBackbone: {
        "input_size is no side of an image": lambda own: (own.input_size or 1) <= LARGEST_SIDE,
        "input_width is no side of an image": lambda own: (own.input_width or 1) <= LARGEST_SIDE,
    },
    TiledBackbone: {
        "backbone sees tiles itself": lambda own: not isinstance(own.backbone, TiledBackbone),
        "rows and columns are too many": lambda own: own.rows * own.columns <= MOST_TILES,
    },
    FittedMetric: {
        "width must be at least 1": lambda own: own.width >= 1,
        "width, projection and metric do not fit one another": lambda own: _takes(
            own.metric, _projected(own.projection, own.width)
        ),
    },
    Projected: {
        "projection and metric do not fit one another": lambda own: _takes(
            own.metric, _projected(own.projection, _length(own.projection))
        ),
    },
    Standardisation: {"deviations must be positive": lambda own: (own.deviations > 0).all()},
    SpectralMahalanobis: {
        "variances must be positive": lambda own: (own.variances > 0).all(),
        "rest must be positive": lambda own: own.rest > 0 or _is_square(own.directions),
        "directions are more than dimensions": lambda own: own.directions.shape[1] <= len(own.mean),
    },
    TriangularMahalanobis: {
        "triangle is singular": lambda own: own.triangle.diagonal().all(),
        "triangle is none": lambda own: not np.tril(own.triangle, -1).any(),
        "samples must exceed the dimension": lambda own: (
            own.samples is None or own.samples > len(own.mean)
        ),
    },
    RootMeanSquare: {
        "weights are all 0": lambda own: own.weights.any(),
        "weights must not be negative": lambda own: (own.weights >= 0).all(),
    },
    SupportVectors: {"gamma must be positive": lambda own: own.gamma > 0},
    NearestSamples: {"k is no number of the samples": lambda own: 1 <= own.k <= len(own.samples)},
    KernelSum: {"bandwidth must be positive": lambda own: own.bandwidth > 0},
    DistanceLaw: {
        "dimension must be at least 1": lambda own: own.dimension >= 1,
        "samples must exceed the dimension": lambda own: (
            own.samples is None or own.samples > own.dimension
        ),
    },
    Calibration: {
        "scores are none": lambda own: len(own.scores) > 0,
        "scores do not rise": lambda own: list(own.scores) == sorted(own.scores),
    },
    CrossCalibration: {
        "scores are none": lambda own: len(own.scores) > 0,
        "scores and weights do not fit one another": lambda own: (
            [len(one) for one in own.scores] == [len(one) for one in own.weights]
        ),
        "weights must be positive": lambda own: all((one > 0).all() for one in own.weights),
        "images must be at least 1": lambda own: own.images >= 1,
    },
    DecisionRule: {
        "fpr must lie in (0, 1)": lambda own: 0 < own.fpr < 1,
        "rate must lie in [fpr, 1]": lambda own: own.fpr <= own.rate <= 1,
        "method is unknown": lambda own: own.method in (None, CONFORMAL, GAUSSIAN),
        "method and threshold go together": lambda own: (
            (own.method is None or isinstance(own.calibration, CrossCalibration))
            == (own.threshold is None)
        ),
        "fits and calibration go together": lambda own: (
            len(own.fits) == len(getattr(own.calibration, "weights", ()))
        ),
        "method asks for a calibration": lambda own: own.method != CONFORMAL or own.calibration,
        "sigmas are of other blocks than laws": lambda own: own.sigmas.keys() == own.laws.keys(),
    },
    Bank: {"entries are none": lambda own: len(own.entries) > 0},
    NearestPatches: {
        "neighbours are no number of the entries": lambda own: (
            1 <= own.neighbours <= len(own.bank.entries)
        ),
        "reweighting must be at least 1": lambda own: own.reweighting >= 1,
    },
    PatchPositionGaussians: {
        "means are not one a position": lambda own: len(own.means) == math.prod(own.shape),
    },
    embedding.Embedding: {
        "blocks must be numbers": lambda own: own.blocks and min(own.blocks) >= 0,
        "neighbourhood must be odd": lambda own: own.neighbourhood % 2 == 1 <= own.neighbourhood,
        "grid is no number of positions": lambda own: 1 <= (own.grid or 1) <= LARGEST_GRID,
        "channels must rise from 0 or more": lambda own: (
            own.channels is None or (np.diff(own.channels, prepend=-1) > 0).all()
        ),
    },
    PooledResiduals: {"pooling must be at least 1": lambda own: own.pooling >= 1},
    PooledLikelihood: {
        "pooling must be at least 1": lambda own: own.pooling >= 1,
        "subspace and gaussian do not fit one another": lambda own: _takes(
            own.gaussian, own.subspace.directions.shape[1]
        ),
    },
    FittedPatchDetector: {
        "width must be at least 1": lambda own: own.width >= 1,
        "width and scorer do not fit one another": lambda own: _scores(own.scorer, own.width),
        "width and channels do not fit one another": lambda own: (
            own.embedding.channels is None or len(own.embedding.channels) == own.width
        ),
        "sigma is no smoothing": lambda own: 0 <= own.sigma <= LARGEST_SIGMA,
    },
    FittedModel: {
        "blocks must be numbers that rise": lambda own: _are_blocks(list(own.blocks)),
        "the combination asks for what is missing": lambda own: all(
            getattr(own, need) is not None for need in getattr(own.combination, "needs", ())
        ),
        "fitted_scores are of other blocks": lambda own: (
            own.fitted_scores is None or own.fitted_scores.shape[1] == len(own.blocks)
        ),
        "as_one is of other blocks": lambda own: own.as_one is None or _joins(own),
    },
    Embedding: {
        "dimensions must be at least 1": lambda own: own.dimensions >= 1,
        "seed must be 0 or more": lambda own: own.seed >= 0,
        "largest_stride must be at least 1": lambda own: (own.largest_stride or 1) >= 1,
    },
    BlockGaussians: {
        "blocks must be numbers that rise": lambda own: _are_blocks(own.blocks),
        "fitted are not one a block": lambda own: len(own.fitted) == len(own.blocks),
        "grid is no number of positions": lambda own: 1 <= own.grid <= LARGEST_GRID,
        "sigma is no smoothing": lambda own: 0 <= own.sigma <= LARGEST_SIGMA,
    },
    PositionGaussians: {
        "blocks must be numbers that rise": lambda own: _are_blocks(own.blocks),
        "fitted are not one a position": lambda own: len(own.fitted) == own.grid**2,
        "grid is no number of positions": lambda own: 1 <= own.grid <= LARGEST_GRID,
        "sigma is no smoothing": lambda own: 0 <= own.sigma <= LARGEST_SIGMA,
    },
}
"""What must hold of an object's fields, by what is wrong where it does not."""


def problems(kind: type, fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the fields of an object that is to be built."""
    lengths: dict[str, int] = {}
    for name, axes in SHAPES.get(kind, {}).items():
        array = fields[name]
        if array is None:
            continue
        if array.ndim != len(axes) or 0 in array.shape:
            yield f"{name} has the shape {list(array.shape)}, not {len(axes)} axes that hold values"
            return
        for axis, length in zip(axes, array.shape, strict=True):
            if lengths.setdefault(axis, length) != length:
                yield f"{name} has the shape {list(array.shape)}, where {lengths[axis]} was due"
                return
    own = SimpleNamespace(**fields)
    yield from (wrong for wrong, rule in RULES.get(kind, {}).items() if not rule(own))


def _projected(projection: Any, width: int | None) -> int | None:  # noqa: ANN401
    """Return the length that vectors of a width have after a projection, None where it is wrong."""
    if isinstance(projection, Whitening):
        for step in projection.steps:
            width = _projected(step, width)
        return width
    if isinstance(projection, Linear):
        return projection.directions.shape[1] if len(projection.mean) == width else None
    if isinstance(projection, Selection | Standardisation):
        kept = projection.features
        within = width is not None and kept.min() >= 0 and kept.max() < width
        return len(kept) if within else None
    return width


def _length(projection: Any) -> int | None:  # noqa: ANN401
    """Return the length of the vectors that a projection takes, or the least that it can take."""
    if isinstance(projection, Linear):
        return len(projection.mean)
    if isinstance(projection, Selection | Standardisation):
        return int(projection.features.max()) + 1
    return None


def _takes(metric: Any, width: int | None) -> bool:  # noqa: ANN401
    """Tell whether a metric takes vectors of a length; one that is trusted is not asked."""
    if width is None:
        return False
    if isinstance(metric, Projected):
        return _takes(metric.metric, _projected(metric.projection, width))
    if isinstance(metric, SpectralMahalanobis | TriangularMahalanobis | RootMeanSquare | LogOdds):
        of_dimensions = metric.weights if isinstance(metric, LogOdds) else metric.mean
        return len(of_dimensions) == width
    if isinstance(metric, SupportVectors):
        return metric.vectors.shape[1] == width
    if isinstance(metric, NearestSamples | KernelSum):
        return metric.samples.shape[1] == width
    return True


def _scores(scorer: Any, width: int) -> bool:  # noqa: ANN401
    """Tell whether a scorer takes patches of a length; of pooled maps it is their size that counts.

    One that is trusted is not asked.
    """
    if isinstance(scorer, NearestPatches):
        return scorer.bank.entries.shape[1] == _projected(scorer.step, width)
    if isinstance(scorer, PatchPositionGaussians):
        return scorer.means.shape[1] == width
    if isinstance(scorer, VectorScorer):
        return getattr(scorer.fitted, "width", width) == width
    if isinstance(scorer, Residuals):
        return len(scorer.subspace.mean) == width
    return True


def _is_square(directions: np.ndarray[Any, Any]) -> bool:
    return directions.shape[0] == directions.shape[1]


def _are_blocks(blocks: list[int]) -> bool:
    return bool(blocks) and blocks == sorted(set(blocks)) and blocks[0] >= 0


def _joins(model: Any) -> bool:  # noqa: ANN401
    """Tell whether the detector of all blocks as one takes vectors as long as theirs together."""
    widths: list[Any] = [getattr(own, "width", None) for own in model.blocks.values()]
    whole = getattr(model.as_one, "width", None)
    return None in (whole, *widths) or whole == sum(widths)
