"""Any network of timm as a backbone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gad_bench.base.errors import UserError, require_choice
from gad_bench.features import weights
from gad_bench.features.interface import Size, height_and_width, size_of
from gad_bench.features.timm_facts import (
    check_name,
    check_tag,
    intermediate_count,
    patch_size,
    pretrained_values,
    side_of_patches,
)

if TYPE_CHECKING:
    from torch import nn

DYNAMIC, NOMINAL = "dynamic", "nominal"
PADDINGS = (DYNAMIC, NOMINAL)
MEAN, CLASS_TOKEN = "mean", "class_token"
POOLINGS = (MEAN, CLASS_TOKEN)
STRIDE = 32
"""Of the networks that pad by size: they halve a map five times, each time by stride 2."""


@dataclass(frozen=True, kw_only=True)
class TimmBackbone:
    """A network of timm, its weights, and where its blocks are tapped.

    Attributes:
        name: timm's name with the weights' tag, as in `tf_efficientnet_b4.aa_in1k`.
        pretrained: false for random weights.
        weights: a local checkpoint in place of the hub's, .pth or .safetensors.
        seed: of the random weights.
        input_size: side of the square input in pixels, or a rectangle's height; None for the
            weights' own.
        input_width: of a rectangle, in pixels; None for a square.
        mean: per RGB channel of the pixels in [0, 1]; None for the weights' own.
        std: likewise.
        taps: the modules whose outputs are the blocks; None for timm's own choice
            (`forward_intermediates`: a transformer's blocks, a CNN's stages).
        padding: of timm's `tf_` networks, the EfficientNets among them. "dynamic": each convolution
            pads for the map that arrives, as TensorFlow's does. "nominal": for the side of the
            network's own input (380 for B4), however small the map is. So pads the package that
            the paper's numbers were made with, efficientnet_pytorch 0.6.3: a map of odd side goes
            through a convolution of stride 2 displaced by a pixel, and may come out one smaller.
            The same for an input of a multiple of 32, such as B0's.
        final_norm: whether a transformer's blocks go through its last normalisation, as DINOv2's
            users take them.
        pooling: "mean": a block's vector is its map averaged over the positions. "class_token": it
            is a transformer's class token after that block; the maps are the same.
        best: blocks that the literature uses, for `blocks=best`; no feature depends on them.
    """

    name: str
    pretrained: bool = True
    weights: str | None = None
    seed: int = 0
    input_size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    taps: list[str] | None = None
    padding: str = DYNAMIC
    final_norm: bool = False
    pooling: str = MEAN
    best: list[int] | None = None
    input_width: int | None = None

    def __post_init__(self) -> None:
        for key, pixels in (("input_size", self.input_size), ("input_width", self.input_width)):
            if pixels is not None and pixels < 1:
                raise UserError(f"backbone.{key} must be at least 1, not {pixels}")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != 3:
                raise UserError(f"backbone.{key} needs 3 numbers, one a channel, not {values}")
        if self.weights is not None and not self.pretrained:
            raise UserError("backbone.weights and backbone.pretrained=false exclude each other")
        require_choice("backbone.padding", self.padding, PADDINGS)
        require_choice("backbone.pooling", self.pooling, POOLINGS)
        if self.taps is not None and (self.final_norm or self.pooling != MEAN):
            raise UserError(
                "backbone.final_norm and backbone.pooling=class_token are of transformers' own "
                "blocks: use them with backbone.taps=null"
            )

    def facts(self) -> dict[str, Any]:
        """Return the architecture, the weights' digest (or the seed), the input and the taps.

        Raises:
            UserError: timm does not know the name, or the weights are not to be had.
        """
        file = self.weights_file()
        origin = {"seed": self.seed} if file is None else {"weights": weights.digest(file)}
        return {
            "architecture": f"timm/{self._architecture}",
            **origin,
            "input_size": height_and_width(self.image_size())[0],
            **({} if isinstance(self.image_size(), int) else {"input_width": self.input_width}),
            "mean": self._mean(),
            "std": self._std(),
            "taps": self.taps,
            **({"padding": NOMINAL} if self._pads_otherwise else {}),
            **({"final_norm": True} if self.final_norm else {}),
            **({"pooling": self.pooling} if self.pooling != MEAN else {}),
        }

    def block_count(self) -> int:
        """Return the number of blocks that can be tapped."""
        return len(self.taps) if self.taps is not None else intermediate_count(self.name)

    def image_size(self) -> Size:
        """Return the size of the input."""
        height = self.input_size or int(pretrained_values(self.name)["input_size"][-1])
        return size_of(height, self.input_width)

    def multiple(self) -> int:
        """Return what a rectangle's sides are multiples of: a transformer's patch, or 32 pixels."""
        return (self.taps is None and patch_size(self.name)) or STRIDE

    def resized(self, height: int, width: int) -> TimmBackbone:
        """Return the same for a rectangle."""
        return replace(self, input_size=height, input_width=width)

    def build(self, deepest: int) -> nn.Module:
        """Build the network up to the deepest block; see `interface.Backbone`.

        Raises:
            UserError: the weights do not fit, a tap names no module, or there is no class token.
        """
        from gad_bench.features.modules import BlockMaps, ClassTokens, PooledBlocks

        blocks = self._blocks(deepest)
        maps = BlockMaps(blocks, self._mean(), self._std())
        if self.pooling == MEAN:
            return PooledBlocks(maps).eval()
        if getattr(blocks.network, "cls_token", None) is None:
            raise UserError(
                f"backbone.pooling=class_token: {self.name} has no class token: "
                "use backbone.pooling=mean"
            )
        return ClassTokens(maps, blocks).eval()

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the same without the pooling; see `interface.Backbone`.

        Raises:
            UserError: the weights do not fit, or a tap names no module.
        """
        from gad_bench.features.modules import BlockMaps

        return BlockMaps(self._blocks(deepest), *self.standardisation()).eval()

    def build_network(self) -> nn.Module:
        """Build the whole network as timm has it, for images that are standardised already.

        Raises:
            UserError: the weights do not fit.
        """
        network = self._network()
        if self._pads_otherwise:
            from gad_bench.features.padding import pad_for

            pad_for(network, int(pretrained_values(self.name)["input_size"][-1]))
        return network

    def standardisation(self) -> tuple[list[float], list[float]]:
        """Return mean and deviation by channel, RGB, of pixels in [0, 1]."""
        return self._mean(), self._std()

    def weights_file(self) -> Path | None:
        """Return the checkpoint, None for random weights.

        Raises:
            UserError: it is not to be had.
        """
        if self.weights is not None:
            return weights.local_file(self.weights)
        if not self.pretrained:
            return None
        repository = f"timm/{self.name}"
        cached = weights.cached_hub_file(repository)
        if cached is None:
            check_tag(self.name)
            return weights.download_hub_file(repository)
        return cached

    @property
    def _architecture(self) -> str:
        return self.name.partition(".")[0]

    @property
    def _pads_otherwise(self) -> bool:
        """Whether the padding makes other features than the map that arrives would."""
        pads_by_size = self._architecture.startswith("tf_")
        sides = height_and_width(self.image_size()) if pads_by_size else ()
        return self.padding == NOMINAL and any(side % STRIDE for side in sides)

    def _mean(self) -> list[float]:
        return [float(x) for x in self.mean or pretrained_values(self.name)["mean"]]

    def _std(self) -> list[float]:
        return [float(x) for x in self.std or pretrained_values(self.name)["std"]]

    def _blocks(self, deepest: int) -> Any:  # noqa: ANN401 - TappedModules or IntermediateBlocks
        """Build what takes normalised images to the blocks' maps."""
        from gad_bench.features.modules import IntermediateBlocks, TappedModules

        network = self.build_network()
        if self.taps is None:
            _check_patches(self.name, network, self.image_size())
            return IntermediateBlocks(network, deepest, self.final_norm)
        _check_taps(network, self.taps)
        return TappedModules(network, self.taps[: deepest + 1])

    def _network(self) -> nn.Module:
        check_name(self.name)
        file = self.weights_file()
        if file is None:
            return _random_network(self.name, self.seed, self._size_option())
        return _loaded_network(self.name, file, self._size_option())

    def _size_option(self) -> dict[str, Any]:
        """Transformers are built for one size of image; convolutional networks take any."""
        own = self.input_size is None and self.input_width is None
        fixed = not own and pretrained_values(self.name).get("fixed_input_size")
        return {"img_size": self.image_size()} if fixed else {}


def _random_network(name: str, seed: int, options: dict[str, Any]) -> nn.Module:
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = timm.create_model(name, pretrained=False, **options)
    return network


def _loaded_network(name: str, file: Path, options: dict[str, Any]) -> nn.Module:
    """Load by way of timm, which adapts a checkpoint's names and position embeddings."""
    import timm

    logging.getLogger("timm").setLevel(logging.WARNING)  # it tells of every file that it loads
    state = weights.read_checkpoint(file) | _blank_classifier(name, options)
    overlay = {"state_dict": state, "label_offset": 0}
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except RuntimeError as error:
        problems = [line.strip()[:160] for line in str(error).splitlines()[1:4]]
        raise UserError(
            f"{file} does not fit backbone.name={name}: {'; '.join(problems) or error}"
        ) from error
    return network


def _blank_classifier(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return a classifier of zeros: no feature comes from it, so any checkpoint's will do."""
    import timm
    import torch

    layers = pretrained_values(name).get("classifier") or ()
    prefixes = (f"{layers}.",) if isinstance(layers, str) else tuple(f"{x}." for x in layers)
    with torch.device("meta"):
        state = timm.create_model(name, pretrained=False, **options).state_dict()
    return {
        key: torch.zeros(value.shape) for key, value in state.items() if key.startswith(prefixes)
    }


def _check_taps(network: nn.Module, taps: list[str]) -> None:
    names = dict(network.named_modules()).keys()
    unknown = [tap for tap in taps if tap not in names]
    if unknown:
        children = ", ".join(name for name, _ in network.named_children())
        raise UserError(
            f"backbone.taps: there is no module {unknown[0]}; the network has {children}"
        )


def _check_patches(name: str, network: nn.Module, size: Size) -> None:
    """Refuse an input that a transformer's patches do not fill: it would leave out a border."""
    patch = side_of_patches(network) or 1
    for key, side in zip(("input_size", "input_width"), height_and_width(size), strict=True):
        if side % patch:
            below = side // patch * patch
            near = " or ".join(str(own) for own in (below, below + patch) if own)
            raise UserError(
                f"backbone.{key}={side}: {name} takes multiples of its patches of {patch} pixels, "
                f"such as {near}"
            )
