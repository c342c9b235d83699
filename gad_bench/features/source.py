"""A category's features, from the store or fresh."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from gad_bench.base.errors import UserError
from gad_bench.base.remote import RemoteFolder
from gad_bench.data.augmentation import Augmentation
from gad_bench.data.catalog import CategoryFacts
from gad_bench.data.fingerprint import Fingerprint, fingerprint
from gad_bench.features.blocks import Blocks
from gad_bench.features.decoded import DecodedImages
from gad_bench.features.extraction import READING, Here, read_input, show_progress
from gad_bench.features.interface import (
    Encoder,
    Extraction,
    Pixels,
    Size,
    Work,
)
from gad_bench.features.maps import MapStorage, ObtainedMaps, Room, maps_work
from gad_bench.features.remote import RemoteStore, SharedStore
from gad_bench.features.store import (
    MAPS,
    Batch,
    Entry,
    FeatureStore,
    Recipe,
    StoredFeatures,
    StoredMaps,
)

log = logging.getLogger(__name__)

Images = Sequence[str] | Fingerprint
"""Files; or their fingerprint, by whoever has it already, so that nobody looks at them again."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Images as a backbone is shown them: as they are, or augmented in several passes.

    Attributes:
        images: the files.
        reader: gives, of a row's number, a call that reads it for the backbone.
        facts: what the passes change.
        passes: rows an image, which are adjacent.
    """

    images: Fingerprint
    reader: Callable[[int], Callable[[], Pixels]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    passes: int = 1


def _nothing() -> None:
    pass


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
        storage: of maps.
        cache_remote: the URL of a store on object storage that this one is shared with; None for
            none.
        before: done before images are read to be extracted or trained on; where it fails they
            are not.
    """

    encoder: Encoder
    blocks: Blocks
    cache_dir: str
    about: Mapping[str, str]
    extraction: Extraction = field(default_factory=Here)
    keep_images: bool = False
    storage: MapStorage = field(default_factory=MapStorage)
    cache_remote: str | None = None
    before: Callable[[], None] = _nothing

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
        shown, seconds = self._as_they_are(images), 0.0
        if self.storage.keep:
            kept = self._map_entries(shown, self.storage.keep)
            if not all(entry.is_there for entry in kept):
                seconds = self._extract_maps(shown, kept)
        stored = self._get(shown)
        return replace(
            stored,
            cache_hit=stored.cache_hit and not seconds,
            seconds_extract=stored.seconds_extract + seconds,
        )

    def maps(self, images: Images, blocks: Sequence[int]) -> ObtainedMaps:
        """Return the maps of images by block, in order.

        One pass extracts what is missing of them, of the maps that are to be kept, and of the
        vectors of the blocks that it comes by.

        Raises:
            UserError: as `features`; a map is not finite; or the maps take too much of the disk.
        """
        return self._maps(self._as_they_are(images), blocks)

    def augmented_maps(
        self,
        images: Images,
        augmentation: Augmentation,
        category: CategoryFacts,
        blocks: Sequence[int],
    ) -> ObtainedMaps:
        """Return the maps of augmented images by block, an image's passes one after the other.

        Raises:
            UserError: as `maps`.
        """
        return self._maps(self._augmented(images, augmentation, category), blocks)

    def _maps(self, shown: Shown, blocks: Sequence[int]) -> ObtainedMaps:
        entries = self._map_entries(shown, blocks)
        found, seconds = self._read_maps(entries), 0.0
        if None in found:
            wanted = sorted({*blocks, *self.storage.keep})
            seconds = self._extract_maps(shown, self._map_entries(shown, wanted))
            found = self._read_maps(entries)
        maps = {block: own for block, own in zip(blocks, found, strict=True) if own}
        if len(maps) < len(found):
            raise UserError(f"{self._folder} was damaged while it was written: check the disk")
        return ObtainedMaps(
            blocks=maps,
            images_digest=entries[0].recipe.images_digest,
            cache_hit=not seconds,
            seconds_extract=seconds,
        )

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
        return self._get(self._augmented(images, augmentation, category))

    def _as_they_are(self, images: Images) -> Shown:
        images = self.fingerprint(images)
        return Shown(images=images, reader=self.reader(images))

    def _augmented(
        self, images: Images, augmentation: Augmentation, category: CategoryFacts
    ) -> Shown:
        images = self.fingerprint(images)
        size, kept = self.encoder.backbone.image_size(), self._kept_images

        def reader(row: int) -> Callable[[], Pixels]:
            number, augmented_pass = divmod(row, augmentation.passes)
            path, digest = images.paths[number], images.digests[number]
            return lambda: augmentation.augment(
                _read_once(path, size, digest, kept), digest, augmented_pass, category
            )

        facts = {"augmentation": dict(augmentation.facts(category))}
        return Shown(images=images, reader=reader, facts=facts, passes=augmentation.passes)

    @property
    def _folder(self) -> Path:
        return Path(self.cache_dir).expanduser()

    @property
    def _kept_images(self) -> DecodedImages | None:
        return DecodedImages(self._folder) if self.keep_images else None

    def _recipe(self, shown: Shown, **facts: Any) -> Recipe:  # noqa: ANN401 - JSON values
        return Recipe({**self.facts(), **shown.facts, **facts}, shown.images.digests, shown.passes)

    def _map_entries(self, shown: Shown, blocks: Sequence[int]) -> list[Entry]:
        """Return the entries of maps, one a block: any choice of blocks shares them."""
        entries = []
        for block in blocks:
            facts = {MAPS: {"block": block, "precision": self.storage.precision}}
            entries.append(self._store.maps(self._recipe(shown, **facts), block))
        return entries

    def _read_maps(self, entries: Sequence[Entry]) -> list[StoredMaps | None]:
        return [self._store.read_maps(entry) for entry in entries]

    def _extract_maps(self, shown: Shown, maps: Sequence[Entry]) -> float:
        """Extract maps, and along with them the vectors that are not there yet."""
        blocks = [entry.extraction.deepest for entry in maps]
        deepest = max(blocks + (self.wanted_blocks() if self.storage.keep else []))
        vectors = self._store.vectors(self._recipe(shown), deepest)

        def extract(rows: Sequence[int], entries: Sequence[Entry]) -> Iterator[Batch]:
            of_maps = [e.extraction.deepest for e in entries if e.extraction.maps]
            depth = sum(len(e.extraction.blocks) for e in entries if not e.extraction.maps)
            work = maps_work(self.encoder, of_maps, depth)
            batches = self._extracted(shown, rows, work)
            count = len(shown.images.paths) * shown.passes
            room = Room(self._folder, images=count, missing=len(rows))
            return self.storage.stored(batches, of_maps, room)

        entries = [*maps] if vectors.is_there else [vectors, *maps]
        return self._store.fill(entries, self.about, extract)

    @property
    def _store(self) -> FeatureStore:
        return FeatureStore(self._folder, self._shared)

    @cached_property
    def _shared(self) -> SharedStore | None:
        if self.cache_remote is None:
            return None
        return SharedStore(RemoteStore(RemoteFolder.at(self.cache_remote), self._folder))

    def _extracted(self, shown: Shown, rows: Sequence[int], work: Work) -> Iterator[Batch]:
        """Yield what comes of rows; no image may have changed."""
        self.before()
        name = work.encoder.backbone.name
        log.info("%s is built and compiled, then %d images go through it", name, len(rows))
        batches = self.extraction.extract(map(shown.reader, rows), work)
        checked = iter(rows)
        for batch in show_progress(batches, name, len(rows)):
            done = islice(checked, len(batch[0]))
            shown.images.require_unchanged({row // shown.passes for row in done})
            yield batch

    def _get(self, shown: Shown) -> StoredFeatures:
        def extract_rows(rows: Sequence[int], deepest: int) -> Iterator[Batch]:
            return self._extracted(shown, rows, Work(encoder=self.encoder, deepest=deepest))

        return self._store.get(
            self._recipe(shown),
            blocks=self.wanted_blocks(),
            about=self.about,
            extract=extract_rows,
        )


def _read(path: str, size: Size, digest: str, kept: DecodedImages | None) -> Pixels:
    return kept.read(path, size, digest) if kept else read_input(path, size)


@lru_cache(maxsize=4)
def _read_once(path: str, size: Size, digest: str, kept: DecodedImages | None) -> Pixels:
    """Read an image that many passes need one after the other; nobody may change it in place."""
    pixels = _read(path, size, digest, kept)
    pixels.flags.writeable = False
    return pixels
