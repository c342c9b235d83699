"""Local features: the maps of a backbone's blocks, streamed and never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gad_bench.features.blocks import Blocks
from gad_bench.features.extraction import extract, read_input, show_progress
from gad_bench.features.interface import (
    Backbone,
    Encoder,
    Features,
    Pixels,
    Size,
    Work,
    height_and_width,
)

if TYPE_CHECKING:
    from torch import nn


Image = str | Callable[[], Pixels]
"""A file, or a call that gives its pixels as the backbone takes them."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """One map out of several: a random choice of all blocks' channels.

    Attributes:
        dimensions: their number; all of them where the blocks have no more.
        seed: of the choice, which depends on the number of channels and on nothing else.
        largest_stride: blocks beyond this many pixels from position to position are left out,
            unless all are; None for no limit.
    """

    dimensions: int
    seed: int
    largest_stride: int | None = None


@dataclass(frozen=True, kw_only=True)
class LocalBackbone:
    """A backbone that gives maps instead of vectors: what `extract` takes in a backbone's place.

    Attributes:
        backbone: whose maps.
        blocks: which of its blocks, rising.
        grid: positions a side. A larger map is averaged down to it.
        embedding: brings all maps to the grid and makes them one; None leaves each as it is.
    """

    backbone: Backbone
    blocks: Sequence[int]
    grid: int
    embedding: Embedding | None = None

    @property
    def name(self) -> str:
        """The backbone's name, for people."""
        return f"{self.backbone.name}, maps"

    def facts(self) -> Mapping[str, Any]:
        """Return everything that changes a map."""
        choice = vars(self.embedding) if self.embedding else None
        own = {"blocks": list(self.blocks), "grid": self.grid, "embedding": choice}
        return {**self.backbone.facts(), "maps": own}

    def block_count(self) -> int:
        """Return the number of maps."""
        return 1 if self.embedding else len(self.blocks)

    def image_size(self) -> Size:
        """Return the size of the input."""
        return self.backbone.image_size()

    def build(self, deepest: int) -> nn.Module:
        """Build a module from uint8 [B, H, W, 3] RGB to float32 [B, C_i, grid_i, grid_i]."""
        from gad_bench.features import modules as local_maps

        maps = self.backbone.build_maps(deepest)
        if self.embedding is None:
            return local_maps.GridMaps(maps, self.blocks, self.grid).eval()
        shapes = local_maps.shapes(maps, self.image_size())
        blocks = self._fine_enough(shapes)
        widths = [shapes[block][0] for block in blocks]
        chosen = local_maps.choose(widths, self.embedding.dimensions, self.embedding.seed)
        return local_maps.EmbeddedMaps(maps, blocks, chosen, self.grid).eval()

    def _fine_enough(self, shapes: Sequence[tuple[int, int]]) -> list[int]:
        limit = self.embedding.largest_stride if self.embedding else None
        if limit is None:
            return list(self.blocks)
        height, _ = height_and_width(self.image_size())
        strides = {block: height / shapes[block][1] for block in self.blocks}
        least = max(limit, min(strides.values()))
        return [block for block, stride in strides.items() if stride <= least]

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the same: these are maps."""
        return self.build(deepest)


@dataclass(frozen=True, kw_only=True)
class LocalSource:
    """Streams local features of images.

    Attributes:
        encoder: whose backbone's maps.
        blocks: which of its blocks, rising.
    """

    encoder: Encoder
    blocks: Sequence[int]

    def choose(self, blocks: list[int] | None) -> LocalSource:
        """Return the same for other blocks; None for those that it has.

        Raises:
            UserError: there is no such block.
        """
        if blocks is None:
            return self
        return replace(self, blocks=Blocks(indices=blocks).of(self.encoder.backbone.block_count()))

    def stream(
        self, images: Sequence[Image], grid: int, embedding: Embedding | None = None
    ) -> Iterator[tuple[Features, ...]]:
        """Yield the maps of images, in order, a batch at a time; see `LocalBackbone`.

        Each batch is a tuple of float32 [batch, C_i, grid_i, grid_i].

        Raises:
            UserError: names the image that cannot be read, or what is wrong with the backbone.
        """
        backbone = LocalBackbone(
            backbone=self.encoder.backbone, blocks=self.blocks, grid=grid, embedding=embedding
        )
        work = Work(encoder=replace(self.encoder, backbone=backbone), deepest=max(self.blocks))
        readers = (
            partial(read_input, image, backbone.image_size()) if isinstance(image, str) else image
            for image in images
        )
        return show_progress(extract(readers, work), backbone.name, len(images))
