from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from cluster import environment
from ray_cluster import ray_cluster

from gad_bench.base.errors import UserError
from gad_bench.features.blocks import Blocks
from gad_bench.features.extraction import Here
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder, Extraction
from gad_bench.features.ray_extraction import RayExtraction
from gad_bench.features.runtime import OpenVinoRuntime
from gad_bench.features.source import FeatureSource

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs 'gad-bench[ray]'")
SHARED = RayExtraction(images_a_task=50, cpus_a_task=1, gpus_a_task=0)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = [str(folder / f"{number:04}.png") for number in range(420)]
    for path in paths:
        cv2.imwrite(path, rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    return paths


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two nodes, to which this process is connected."""
    import ray

    env = environment(tmp_path_factory.mktemp("cache"))
    with ray_cluster(2, env) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        patch.setenv("RAY_AUTH_MODE", env["RAY_AUTH_MODE"])
        yield
        ray.shutdown()


def source(extraction: Extraction, cache: Path) -> FeatureSource:
    return FeatureSource(
        encoder=Encoder(
            backbone=FilterBank(input_size=16, octaves=1),
            runtime=OpenVinoRuntime(),
            device="cpu",
            batch_size=16,
        ),
        blocks=Blocks(indices=None),
        cache_dir=str(cache),
        about={},
        extraction=extraction,
    )


@needs_ray
@pytest.mark.usefixtures("_cluster")
def test_two_nodes_extract_what_one_process_does(images: list[str], tmp_path: Path) -> None:
    here = source(Here(), tmp_path / "here").features(images)
    shared = source(SHARED, tmp_path / "shared").features(images)
    assert shared.path.name == here.path.name
    for block, features in here.blocks.items():
        np.testing.assert_array_equal(shared.blocks[block], features)


@needs_ray
@pytest.mark.usefixtures("_cluster")
def test_what_was_shared_out_is_served_to_one_process(images: list[str], tmp_path: Path) -> None:
    source(SHARED, tmp_path).features(images)
    assert source(Here(), tmp_path).features(images).cache_hit


@needs_ray
@pytest.mark.usefixtures("_cluster")
def test_an_image_that_cannot_be_read_is_named_as_by_one_process(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad\.png"):
        source(SHARED, tmp_path).features([str(bad)])


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(images: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip install 'gad-bench\[ray\]'"):
        source(SHARED, tmp_path).features(images)


def test_a_task_of_no_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"extraction\.images_a_task must be at least 1"):
        RayExtraction(images_a_task=0, cpus_a_task=1, gpus_a_task=0)
