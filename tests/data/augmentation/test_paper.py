from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from category_facts import FREE
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation import PaperAugmentation, operations
from gad_bench.data.catalog import CategoryFacts

ALWAYS = PaperAugmentation(passes=100, seed=0, probability=1)
HALF = PaperAugmentation(passes=100, seed=0, probability=0.5)
DIGEST = hashlib.sha256(b"an image").hexdigest()


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).random((7, 7, 3), np.float32)
    large = cv2.resize(noise, (48, 48), interpolation=cv2.INTER_CUBIC)
    return (np.clip(large, 0, 1) * 255).astype(np.uint8)


def passes(
    image: NDArray[np.uint8],
    augmentation: PaperAugmentation = HALF,
    category: CategoryFacts = FREE,
    digest: str = DIGEST,
) -> NDArray[np.uint8]:
    return np.stack([augmentation.augment(image, digest, n, category) for n in range(100)])


def test_half_of_the_passes_show_the_image_as_it_is(image: NDArray[np.uint8]) -> None:
    same = sum(np.array_equal(shown, image) for shown in passes(image))
    assert 45 <= same <= 75  # a tenth or so of the chains happen to change nothing


def test_with_probability_0_nothing_is_changed(image: NDArray[np.uint8]) -> None:
    shown = passes(image, replace(HALF, probability=0))
    np.testing.assert_array_equal(shown, np.broadcast_to(image, shown.shape))


def test_the_passes_differ_and_repeat_bit_by_bit(image: NDArray[np.uint8]) -> None:
    shown = passes(image, ALWAYS)
    assert len(np.unique(shown.reshape(100, -1), axis=0)) > 80
    np.testing.assert_array_equal(shown, passes(image, ALWAYS))


def test_another_seed_and_another_image_are_changed_otherwise(image: NDArray[np.uint8]) -> None:
    shown = passes(image, ALWAYS)
    assert not np.array_equal(shown, passes(image, replace(ALWAYS, seed=1)))
    assert not np.array_equal(shown, passes(image, ALWAYS, digest=DIGEST[::-1]))


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_any_number_of_workers_shows_the_same(image: NDArray[np.uint8], workers: int) -> None:
    with ThreadPoolExecutor(workers) as threads:
        shown = list(threads.map(lambda n: ALWAYS.augment(image, DIGEST, n, FREE), range(100)))
    np.testing.assert_array_equal(shown, passes(image, ALWAYS))


def test_any_number_of_torchs_own_threads_shows_the_same(image: NDArray[np.uint8]) -> None:
    large = cv2.resize(image, (256, 256))
    threads = torch.get_num_threads()
    try:
        shown = []
        for count in (1, 2):
            torch.set_num_threads(count)
            shown.append([ALWAYS.augment(large, DIGEST, n, FREE) for n in range(30)])
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*shown)


def test_the_image_itself_is_left_alone(image: NDArray[np.uint8]) -> None:
    before = image.copy()
    image.flags.writeable = False
    shown = passes(image, ALWAYS)
    np.testing.assert_array_equal(image, before)
    assert shown.dtype == np.uint8
    assert shown.shape == (100, 48, 48, 3)


def test_each_operation_is_as_frequent_as_the_paper_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[str] = Counter()
    expected = {
        "motion_blur": 0.2 * 0.5,
        "median_blur": 0.2 * 0.25,
        "box_blur": 0.2 * 0.25,
        "clahe": 0.3 / 4,
        "sharpen": 0.3 / 4,
        "emboss": 0.3 / 4,
        "brightness_contrast": 0.3 / 4,
        "shift_colour": 0.3,
        "shared_noise": 0.2 / 2,
        "channel_noise": 0.2 / 2,
        "flip": 0.5,
        "quarter_turn": 0.5,
        "shift_scale_rotate": 0.2,
    }

    def counted(name: str) -> object:
        return lambda pixels, **_: counts.update([name]) or pixels

    for name in expected:
        monkeypatch.setattr(operations, name, counted(name))
    tiny, runs = np.zeros((2, 2, 3), np.uint8), 8000
    for number in range(runs):
        HALF.augment(tiny, DIGEST, number, FREE)
    for name, share in expected.items():
        deviation = (share / 2 * (1 - share / 2) / runs) ** 0.5
        assert abs(counts[name] / runs - share / 2) < 4 * deviation, name


@pytest.mark.parametrize(
    ("category", "forbidden"),
    [
        (replace(FREE, horizontal_flip=False), "flip"),
        (replace(FREE, quarter_turns=False), "quarter_turn"),
    ],
)
def test_what_a_category_forbids_is_not_done(
    category: CategoryFacts, forbidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pixels: torch.Tensor, **_: object) -> torch.Tensor:  # noqa: ARG001
        raise AssertionError(forbidden)

    monkeypatch.setattr(operations, forbidden, refused)
    for number in range(50):
        ALWAYS.augment(np.zeros((16, 16, 3), np.uint8), DIGEST, number, category)


def test_the_facts_are_what_changes_a_pixel(image: NDArray[np.uint8]) -> None:
    """Whatever changes them changes some pass, and nothing else does."""
    categories = [
        replace(FREE, horizontal_flip=False),
        replace(FREE, quarter_turns=False),
        replace(FREE, rotation_limit=15),
        replace(FREE, shift_limit=0.02),
        replace(FREE, scale_limits=(-0.05, 0.05)),
    ]
    before = passes(image, ALWAYS)
    for category in categories:
        assert ALWAYS.facts(category) != ALWAYS.facts(FREE)
        assert not np.array_equal(passes(image, ALWAYS, category), before)
    for category in (replace(FREE, kind="texture"), replace(FREE, smallest_defect=9)):
        assert ALWAYS.facts(category) == ALWAYS.facts(FREE)
        np.testing.assert_array_equal(passes(image, ALWAYS, category), before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"passes": 0}, "augmentation.passes must be at least 1, not 0"),
        ({"seed": -1}, "augmentation.seed must be at least 0, not -1"),
        ({"probability": 1.5}, r"augmentation.probability must lie in \[0, 1\], not 1.5"),
        ({"probability": float("nan")}, "augmentation.probability must lie in"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(HALF, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clip_limits": [2.0]}, "augmentation.clip_limits needs the lowest and the highest"),
        ({"clip_limits": [2.0, 1.0]}, "augmentation.clip_limits needs the lowest and the highest"),
        ({"motion_blur": "random"}, "augmentation.motion_blur=random is unknown: choose one of"),
    ],
)
def test_impossible_operations_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(HALF, **values)


def test_the_facts_tell_of_operations_that_are_not_the_usual_ones() -> None:
    usual = HALF.facts(FREE)
    other = replace(HALF, clip_limits=[1, 2], motion_blur="chord").facts(FREE)
    assert other == usual | {"clip_limits": [1.0, 2.0], "motion_blur": "chord"}
    assert replace(HALF, clip_limits=[2, 2]).facts(FREE) == usual
