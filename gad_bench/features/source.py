"""A category's features, from the store or fresh."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from gad_bench.data.augmentation import Augmentation
from gad_bench.data.catalog import CategoryFacts
from gad_bench.data.fingerprint import Fingerprint, fingerprint
from gad_bench.features.blocks import Blocks
from gad_bench.features.decoded import DecodedImages
from gad_bench.features.extraction import READING, Here, read_square, show_progress
from gad_bench.features.interface import (
    Encoder,
    Extraction,
    Features,
    Pixels,
    Work,
)
from gad_bench.features.store import FeatureStore, Recipe, StoredFeatures

log = logging.getLogger(__name__)

Images = Sequence[str] | Fingerprint
"""Files; or their fingerprint, by whoever has it already, so that nobody looks at them again."""


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """Gives the features of images by one backbone.

    Attributes:
        encoder: what makes the features.
        blocks: those of its backbone's blocks that are wanted.
        cache_dir: the folder that holds the store.
        about: what to tell people who list the store.
        extraction: where images are read and go through the backbone.
        keep_images: keep decoded images for further backbones of the same input size.
    """

    encoder: Encoder
    blocks: Blocks
    cache_dir: str
    about: Mapping[str, str]
    extraction: Extraction = field(default_factory=Here)
    keep_images: bool = False

    def facts(self) -> dict[str, Any]:
        """Return, as JSON values, everything but the images that changes a feature."""
        return {"reading": READING, **self.encoder.facts()}

    def wanted_blocks(self) -> list[int]:
        """Return the blocks' numbers, in rising order.

        Raises:
            UserError: the backbone has no such block.
        """
        return self.blocks.of(self.encoder.backbone.block_count())

    def fingerprint(self, images: Images) -> Fingerprint:
        """Return what the images hold now, or held when their fingerprint was taken.

        Raises:
            UserError: an image cannot be read.
        """
        if isinstance(images, Fingerprint):
            return images
        return fingerprint(images, self._folder)

    def features(self, images: Images) -> StoredFeatures:
        """Return the features of images [images, D_i] by block, in order.

        Raises:
            UserError: an image, the weights or the store cannot be used, or an image that must be
                read is no longer what its fingerprint says.
        """
        images = self.fingerprint(images)
        return self._get(images, {}, 1, self.reader(images))

    def reader(self, images: Fingerprint) -> Callable[[int], Callable[[], Pixels]]:
        """Return what gives, of an image's number, a call that reads it for the backbone."""
        size, kept = self.encoder.backbone.image_size(), self._kept_images
        return lambda row: partial(_read, images.paths[row], size, images.digests[row], kept)

    def augmented(
        self, images: Images, augmentation: Augmentation, category: CategoryFacts
    ) -> StoredFeatures:
        """Return the features of augmented images [images * passes, D_i] by block.

        An image's passes are adjacent, so that it is decoded once for many of them.

        Raises:
            UserError: as `features`.
        """
        images = self.fingerprint(images)
        size, kept = self.encoder.backbone.image_size(), self._kept_images

        def reader(row: int) -> Callable[[], Pixels]:
            number, augmented_pass = divmod(row, augmentation.passes)
            path, digest = images.paths[number], images.digests[number]
            return lambda: augmentation.augment(
                _read_once(path, size, digest, kept), digest, augmented_pass, category
            )

        facts = {"augmentation": dict(augmentation.facts(category))}
        return self._get(images, facts, augmentation.passes, reader)

    @property
    def _folder(self) -> Path:
        return Path(self.cache_dir).expanduser()

    @property
    def _kept_images(self) -> DecodedImages | None:
        return DecodedImages(self._folder) if self.keep_images else None

    def _get(
        self,
        images: Fingerprint,
        facts: Mapping[str, Any],
        passes: int,
        reader: Callable[[int], Callable[[], Pixels]],
    ) -> StoredFeatures:
        def extract_rows(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
            work = Work(encoder=self.encoder, deepest=deepest)
            name = self.encoder.backbone.name
            log.info("%s is built and compiled, then %d images go through it", name, len(rows))
            batches = self.extraction.extract(map(reader, rows), work)
            checked = iter(rows)
            for batch in show_progress(batches, name, len(rows)):
                done = islice(checked, len(batch[0]))
                images.require_unchanged({row // passes for row in done})
                yield batch

        return FeatureStore(self._folder).get(
            Recipe({**self.facts(), **facts}, images.digests, passes),
            blocks=self.wanted_blocks(),
            about=self.about,
            extract=extract_rows,
        )


def _read(path: str, size: int, digest: str, kept: DecodedImages | None) -> Pixels:
    return kept.read(path, size, digest) if kept else read_square(path, size)


@lru_cache(maxsize=4)
def _read_once(path: str, size: int, digest: str, kept: DecodedImages | None) -> Pixels:
    """Read an image that many passes need one after the other; nobody may change it in place."""
    pixels = _read(path, size, digest, kept)
    pixels.flags.writeable = False
    return pixels
