"""A category's features, from the store or fresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from gad_bench.data.fingerprint import fingerprint
from gad_bench.features.blocks import Blocks
from gad_bench.features.extraction import READING, extract
from gad_bench.features.interface import Backbone, Features, Runtime
from gad_bench.features.store import FeatureStore, Recipe, StoredFeatures


def obtain(
    paths: Sequence[str],
    backbone: Backbone,
    blocks: Blocks,
    runtime: Runtime,
    config: DictConfig,
    about: Mapping[str, str],
) -> StoredFeatures:
    """Return the features of images, in order, by block.

    Args:
        paths: the image files.
        backbone: what makes the features.
        blocks: those of its blocks that are wanted.
        runtime: what carries the backbone out.
        config: its `device`, `batch_size` and `cache_dir`.
        about: what to tell people who list the store.

    Raises:
        UserError: an image, the weights or the store cannot be used.
    """
    folder = Path(config.cache_dir).expanduser()
    images = fingerprint(paths, folder)
    facts = {
        "reading": READING,
        "backbone": backbone.facts(),
        "runtime": runtime.facts(config.device),
    }

    def extract_rows(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
        done = 0
        for batch in extract(
            [paths[row] for row in rows],
            backbone=backbone,
            runtime=runtime,
            deepest=deepest,
            batch_size=config.batch_size,
            device=config.device,
        ):
            count = len(batch[0])
            images.require_unchanged(rows[done : done + count])
            done += count
            yield batch

    return FeatureStore(folder).get(
        Recipe(facts, images.digests),
        blocks=blocks.of(backbone.block_count()),
        about=about,
        extract=extract_rows,
    )
