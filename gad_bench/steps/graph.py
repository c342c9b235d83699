"""A whole detector as one PyTorch module: backbone, pooling, Gaussians and combination.

In float64 after the pooling, as the scores of a run are. OpenVINO computes in float32 all the same,
and would lose the most where a mean is subtracted: so each mean is in two parts that float32 holds,
of which the greater nearly cancels with the feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Backbone
from gad_bench.gaussian import combination as combinations
from gad_bench.gaussian import projection as projections
from gad_bench.gaussian.detector import FittedBlock, FittedMetric, GaussianDetector
from gad_bench.gaussian.metric import Metric, QuadraticForm
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.normalisation import NoNormalisation, Normalisation, UnitLength
from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.reduction import NoReduction

Array = NDArray[np.float64]
NO_GRAPH = "cannot be exported or explained by pixels: only detector=gaussian can"


class DetectorGraph(nn.Module):
    """From uint8 [B, H, W, 3] RGB to the images' scores [B] and the blocks' [B, blocks].

    From float32 of the same range as well, in which the scores are differentiable.
    """

    outputs = ("score", "blocks")

    def __init__(self, model: FittedModel, backbone: Backbone) -> None:
        super().__init__()
        self.wanted = list(model.blocks)
        self.backbone = backbone.build(max(self.wanted))
        self.blocks = nn.ModuleList([vector_module(fitted) for fitted in model.blocks.values()])
        self.combination = Combination(model)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores, higher is more anomalous."""
        pooled = self.backbone(pixels)
        features = [pooled[block].double() for block in self.wanted]
        scores = [own(block) for own, block in zip(self.blocks, features, strict=True)]
        blocks = torch.stack(scores, dim=1)
        return self.combination(blocks, features), blocks


class Combination(nn.Module):
    """The image's score by the blocks' [B, blocks], or by all their features."""

    means: Tensor
    deviations: Tensor

    def __init__(self, model: FittedModel) -> None:
        super().__init__()
        self.kind = type(model.combination)
        _require_combination(model.combination)
        self.as_one = None if model.as_one is None else vector_module(model.as_one)
        fitted = model.fitted_scores
        if fitted is not None:
            self.register_buffer("means", tensor(fitted.mean(axis=0)))
            self.register_buffer("deviations", tensor(fitted.std(axis=0)))

    def forward(self, blocks: Tensor, features: list[Tensor]) -> Tensor:
        """Return the scores [B]."""
        if self.as_one is not None:
            return self.as_one(torch.cat(features, dim=1))
        if self.kind is combinations.StandardisedMean:
            return ((blocks - self.means) / self.deviations).mean(dim=1)
        if self.kind is combinations.SumOfSquares:
            return blocks.square().sum(dim=1).sqrt()
        return blocks.amax(dim=1) if self.kind is combinations.Maximum else blocks.mean(dim=1)


COMBINATIONS = (
    combinations.Mean,
    combinations.SumOfSquares,
    combinations.Maximum,
    combinations.StandardisedMean,
    combinations.Concatenated,
)


class Centred(nn.Module):
    """x - mean, for a mean [dim]."""

    high: Tensor
    low: Tensor

    def __init__(self, mean: Array) -> None:
        super().__init__()
        high = mean.astype(np.float32).astype(np.float64)
        self.register_buffer("high", tensor(high))
        self.register_buffer("low", tensor(mean - high))

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors [B, dim]."""
        return (features - self.high) - self.low


class Form(nn.Module):
    """`QuadraticForm`."""

    directions: Tensor
    scales: Tensor

    def __init__(self, form: QuadraticForm) -> None:
        super().__init__()
        self.centred = Centred(form.mean)
        self.turns = form.directions is not None
        if form.directions is not None:
            self.register_buffer("directions", tensor(form.directions))
        self.register_buffer("scales", tensor(form.scales))
        self.rest = None if form.rest is None else float(1 / np.sqrt(form.rest))

    def forward(self, features: Tensor) -> Tensor:
        """Return distances [B]."""
        centred = self.centred(features)
        along = centred @ self.directions if self.turns else centred
        squared = (along * self.scales).square().sum(dim=1)
        if self.rest is not None:
            orthogonal = (centred - along @ self.directions.T) * self.rest
            squared = squared + orthogonal.square().sum(dim=1)
        return squared.sqrt()


class LinearMap(nn.Module):
    """`Linear`."""

    directions: Tensor

    def __init__(self, projection: projections.Linear) -> None:
        super().__init__()
        self.centred = Centred(projection.mean)
        self.register_buffer("directions", tensor(projection.directions))

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors [B, new dim]."""
        return self.centred(features) @ self.directions


class Selected(nn.Module):
    """`Selection`."""

    features: Tensor

    def __init__(self, projection: projections.Selection) -> None:
        super().__init__()
        self.register_buffer("features", torch.from_numpy(projection.features.astype(np.int64)))

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors [B, new dim]."""
        return features.index_select(1, self.features)


class Standardised(nn.Module):
    """`Standardisation`."""

    scales: Tensor

    def __init__(self, projection: projections.Standardisation) -> None:
        super().__init__()
        self.selected = Selected(projections.Selection(projection.features))
        self.centred = Centred(projection.mean)
        self.register_buffer("scales", tensor(1 / projection.deviations))

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors [B, new dim]."""
        return self.centred(self.selected(features)) * self.scales


class Unit(nn.Module):
    """`UnitLength`."""

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors [B, dim]; zero stays zero."""
        lengths = features.square().sum(dim=1, keepdim=True).sqrt()
        return features / torch.where(lengths > 0, lengths, torch.ones_like(lengths))


STEPS: Mapping[type, Any] = {
    NoNormalisation: lambda _: nn.Identity(),
    UnitLength: lambda _: Unit(),
    NoReduction: lambda _: nn.Identity(),
    projections.Linear: LinearMap,
    projections.Selection: Selected,
    projections.Standardisation: Standardised,
    QuadraticForm: Form,
}


def require_graph(detector: object, combination: object) -> None:
    """Refuse, before anything is fitted, what will have no graph.

    Raises:
        UserError: names the detector or the combination.
    """
    if not isinstance(detector, GaussianDetector):
        raise UserError(f"{type(detector).__name__} {NO_GRAPH}")
    _require_combination(combination)


def _require_combination(combination: object) -> None:
    kind = type(combination)
    if kind not in COMBINATIONS:
        raise UserError(f"a combination by {kind.__name__} cannot be exported or explained")


def vector_module(fitted: FittedBlock) -> nn.Module:
    """Return a fitted block as a module.

    Raises:
        UserError: there is none for its kind, such as the baselines'.
    """
    if not isinstance(fitted, FittedMetric):
        raise UserError(f"{type(fitted).__name__} {NO_GRAPH}")
    try:
        metric = metric_module(fitted.metric)
    except UserError as error:
        raise UserError(f"{error}, so it {NO_GRAPH}") from error
    return nn.Sequential(*map(step_module, (fitted.normalisation, fitted.projection)), *metric)


def metric_module(metric: Metric) -> nn.Sequential:
    """Return a metric as a module from vectors [B, dim] to distances [B].

    Raises:
        UserError: it is no distance by a matrix.
    """
    return nn.Sequential(*map(step_module, metric.steps()))


def step_module(step: Normalisation | Projection | QuadraticForm) -> nn.Module:
    """Return what is done to vectors, one after the other, as a module."""
    module: nn.Module = STEPS[type(step)](step)
    return module


def tensor(values: Array) -> Tensor:
    """Return float64 values as a tensor of their own."""
    return torch.from_numpy(np.array(values, np.float64))
