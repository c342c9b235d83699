"""Painted defects."""

from __future__ import annotations

import numpy as np
import pytest

from gad_bench.base.errors import UserError
from gad_bench.data.painting import PaintedDefects, cut_and_paste, noise_blend
from gad_bench.data.painting.recipes import perlin_noise

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("recipe", [cut_and_paste, noise_blend])
def test_what_is_changed_is_the_mask_and_no_more(recipe: object) -> None:
    sizes = []
    for seed in range(30):
        painted = recipe(IMAGE, np.random.default_rng(seed))  # type: ignore[operator]
        np.testing.assert_array_equal((painted.image != IMAGE).any(axis=2), painted.mask)
        assert painted.image.dtype == np.uint8
        sizes.append(painted.mask.mean())
    assert min(sizes) > 0
    assert max(sizes) < 0.5
    assert len(set(sizes)) > 10


def test_a_pasted_patch_is_a_rectangle_of_the_papers_size() -> None:
    for seed in range(30):
        mask = cut_and_paste(IMAGE, np.random.default_rng(seed)).mask
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 0.015 < tall * wide / mask.size < 0.17
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.9


def test_noise_vanishes_on_its_grid_and_fades_in_between() -> None:
    noise = perlin_noise((64, 96), (4, 8), np.random.default_rng(0))
    assert noise.shape == (64, 96)
    np.testing.assert_allclose(noise[::16, ::12], 0, atol=1e-12)
    assert 0.3 < np.abs(noise).max() <= np.sqrt(0.5) + 1e-9
    assert np.abs(np.diff(noise, axis=0)).max() < 0.2


def test_a_defect_depends_on_seed_image_and_copy_alone() -> None:
    painter = PaintedDefects(recipes=["cut_paste", "noise"], copies=2, seed=0)
    assert painter.passes == 4
    assert [painter.recipe(number) for number in range(4)] == ["cut_paste", "noise"] * 2
    first = painter.paint(IMAGE, "ab" * 32, 1)
    np.testing.assert_array_equal(first.image, painter.paint(IMAGE, "ab" * 32, 1).image)
    others = [painter.paint(IMAGE, "ab" * 32, 3), painter.paint(IMAGE, "cd" * 32, 1)]
    others.append(PaintedDefects(recipes=["noise"], copies=2, seed=1).paint(IMAGE, "ab" * 32, 1))
    assert all((first.image != other.image).any() for other in others)


def test_values_outside_their_range_are_refused() -> None:
    with pytest.raises(UserError, match="choose from cut_paste, noise"):
        PaintedDefects(recipes=["stain"], copies=1, seed=0)
    with pytest.raises(UserError, match=r"selection\.copies must be at least 1, not 0"):
        PaintedDefects(recipes=["noise"], copies=0, seed=0)
