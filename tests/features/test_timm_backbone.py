from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gad_bench.base.errors import UserError
from gad_bench.features.timm_backbone import TimmBackbone

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
EFFICIENTNET = ["bn1", *(f"blocks.{stage}" for stage in range(7)), "bn2"]
RESNET = ["maxpool", "layer1", "layer2", "layer3", "layer4"]

B0 = TimmBackbone(name="tf_efficientnet_b0", pretrained=False, taps=EFFICIENTNET)
RESNET18 = TimmBackbone(name="resnet18", pretrained=False, taps=RESNET)
VIT = TimmBackbone(name="test_vit", pretrained=False, input_size=64)


def random_network(name: str, seed: int = 0, **options: int) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, **options).eval()


def by_hooks(network: nn.Module, modules: list[str], pixels: NDArray[np.uint8]) -> list[Tensor]:
    """Run the whole network and average what the named modules give, in float64."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: kept.update({name: output.double().mean((2, 3))})

    for name in modules:
        network.get_submodule(name).register_forward_hook(keep(name))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    images = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        network(images)
    return [kept[name] for name in modules]


def features(backbone: TimmBackbone, deepest: int, pixels: NDArray[np.uint8]) -> list[Tensor]:
    with torch.inference_mode():
        return list(backbone.build(deepest)(torch.from_numpy(pixels)))


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    assert [block.shape for block in found] == [block.shape for block in expected]
    for block, reference in zip(found, expected, strict=True):
        assert block.dtype == torch.float32
        assert (block - reference).abs().max() <= tolerance * reference.abs().max()


@pytest.mark.parametrize("backbone", [B0, RESNET18], ids=["efficientnet", "resnet"])
def test_blocks_are_the_means_of_the_tapped_modules(
    backbone: TimmBackbone, pixels: NDArray[np.uint8]
) -> None:
    assert backbone.taps is not None
    expected = by_hooks(random_network(backbone.name), backbone.taps, pixels)
    assert_close(features(backbone, backbone.block_count() - 1, pixels), expected)


def test_the_blocks_of_b4_have_the_papers_dimensions() -> None:
    backbone = TimmBackbone(name="tf_efficientnet_b4", pretrained=False, taps=EFFICIENTNET)
    blocks = features(backbone, 8, np.zeros((1, 64, 64, 3), np.uint8))
    assert [block.shape[1] for block in blocks] == [48, 24, 32, 56, 112, 160, 272, 448, 1792]


@pytest.mark.parametrize("deepest", [0, 3])
def test_nothing_beyond_the_deepest_block_is_computed(deepest: int) -> None:
    count = convolutions(B0.build(deepest))
    whole = random_network(B0.name)
    kept = [whole.conv_stem, whole.blocks[:deepest]]
    assert count == sum(convolutions(part) for part in kept)


def convolutions(module: nn.Module) -> int:
    return sum(isinstance(part, nn.Conv2d) for part in module.modules())


def test_nothing_beyond_the_deepest_intermediate_block_is_computed(
    pixels: NDArray[np.uint8],
) -> None:
    module = VIT.build(1)
    runs: list[str] = []
    for name, part in module.named_modules():
        if name.endswith("mlp.fc1"):
            part.register_forward_hook(lambda *_, name=name: runs.append(name))
    with torch.inference_mode():
        module(torch.from_numpy(pixels))
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("name", "size", "widths"),
    [
        ("test_convnext", 64, [24, 32, 48, 64]),
        ("convnext_atto", 64, [40, 80, 160, 320]),
        ("swin_tiny_patch4_window7_224", 56, [96, 192, 384, 768]),
        ("vit_small_patch14_dinov2", 56, [384] * 12),
    ],
)
def test_any_timm_model_gives_blocks(name: str, size: int, widths: list[int]) -> None:
    backbone = TimmBackbone(name=name, pretrained=False, input_size=size)
    assert backbone.block_count() == len(widths)
    blocks = features(backbone, len(widths) - 1, np.full((2, size, size, 3), 99, np.uint8))
    assert [tuple(block.shape) for block in blocks] == [(2, width) for width in widths]
    assert all(block.isfinite().all() for block in blocks)


def test_a_transformers_block_is_the_mean_of_its_tokens_without_the_prefix(
    pixels: NDArray[np.uint8],
) -> None:
    network = random_network("test_vit", img_size=64)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    images = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.inference_mode():
        tokens = network.norm_pre(network._pos_embed(network.patch_embed(images)))
        expected = []
        for block in network.blocks:
            tokens = block(tokens)
            expected.append(tokens[:, network.num_prefix_tokens :].mean(1))
    assert_close(features(VIT, VIT.block_count() - 1, pixels), expected)


def test_random_weights_follow_their_seed_alone_and_leave_the_global_state(
    pixels: NDArray[np.uint8],
) -> None:
    torch.manual_seed(1)
    first = features(RESNET18, 4, pixels)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = features(RESNET18, 4, pixels)
    other = features(
        TimmBackbone(name="resnet18", pretrained=False, seed=1, taps=RESNET), 4, pixels
    )
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.allclose(first[4], other[4])
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_local_weights_are_loaded_whatever_the_classifier(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    network = random_network("resnet18", seed=5, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name="resnet18", weights=str(tmp_path / "weights.pth"), taps=RESNET)
    assert_close(features(backbone, 4, pixels), by_hooks(network, RESNET, pixels))


def test_position_embeddings_are_fitted_to_the_input_size(tmp_path: Path) -> None:
    torch.save(random_network("test_vit").state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name="test_vit", weights=str(tmp_path / "weights.pth"), input_size=64)
    blocks = features(backbone, 0, np.zeros((1, 64, 64, 3), np.uint8))
    assert blocks[0].isfinite().all()


def test_weights_of_another_network_name_the_first_keys(tmp_path: Path) -> None:
    torch.save(random_network("resnet18").state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name="resnet34", weights=str(tmp_path / "weights.pth"), taps=RESNET)
    with pytest.raises(UserError, match=r"not fit backbone\.name=resnet34: Missing.*layer1\.2"):
        backbone.build(4)


def test_facts_change_with_everything_that_changes_a_feature(tmp_path: Path) -> None:
    for seed in (0, 1):
        torch.save({"x": torch.tensor(seed)}, tmp_path / f"{seed}.pth")
    size = {"mean": MEAN, "std": STD, "input_size": 224}
    backbones = [
        TimmBackbone(name="resnet18", pretrained=False, **size),
        TimmBackbone(name="resnet34", pretrained=False, **size),
        TimmBackbone(name="resnet18", pretrained=False, seed=1, **size),
        TimmBackbone(name="resnet18", weights=str(tmp_path / "0.pth"), **size),
        TimmBackbone(name="resnet18", weights=str(tmp_path / "1.pth"), **size),
        TimmBackbone(name="resnet18", pretrained=False, **{**size, "input_size": 225}),
        TimmBackbone(name="resnet18", pretrained=False, **{**size, "mean": STD}),
        TimmBackbone(name="resnet18", pretrained=False, **{**size, "std": MEAN}),
        TimmBackbone(name="resnet18", pretrained=False, taps=RESNET, **size),
    ]
    assert len({str(backbone.facts()) for backbone in backbones}) == len(backbones)


def test_facts_do_not_depend_on_where_the_weights_lie_nor_on_an_unused_seed(
    tmp_path: Path,
) -> None:
    for name in ("one.pth", "two.pth"):
        (tmp_path / name).write_bytes(b"the same")
    one, two = (
        TimmBackbone(name=name, weights=str(tmp_path / file), seed=seed).facts()
        for name, file, seed in (("resnet18", "one.pth", 0), ("resnet18.tv_in1k", "two.pth", 1))
    )
    assert one == two


def test_facts_of_the_papers_backbones_need_neither_torch_nor_timm(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"x")
    code = (
        "import sys; from gad_bench.features.timm_backbone import TimmBackbone; "
        f"b = TimmBackbone(name='resnet18', weights={str(tmp_path / 'weights.pth')!r}, "
        "input_size=224, mean=[0, 0, 0], std=[1, 1, 1], taps=['layer1']); "
        "b.facts(), b.block_count(), b.image_size(); "
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_model_names_those_near_it() -> None:
    with pytest.raises(UserError, match=r"timm has no model resnet19; near it: .*resnet18"):
        TimmBackbone(name="resnet19", pretrained=False).facts()


@pytest.mark.parametrize("name", ["resnet18", "resnet18.none"])
def test_a_model_whose_weights_are_not_named_lists_them(name: str) -> None:
    with pytest.raises(UserError, match=r"must name its weights: .*resnet18\.tv_in1k"):
        TimmBackbone(name=name).facts()


def test_an_unknown_tap_lists_the_networks_parts() -> None:
    backbone = TimmBackbone(name="resnet18", pretrained=False, taps=["layer9"])
    with pytest.raises(UserError, match=r"no module layer9; the network has conv1, .*layer4"):
        backbone.build(0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_size": 0}, "backbone.input_size must be at least 1"),
        ({"mean": [0.5]}, "backbone.mean needs 3 numbers"),
        ({"std": [1.0, 1.0]}, "backbone.std needs 3 numbers"),
        ({"weights": "x.pth", "pretrained": False}, "exclude each other"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TimmBackbone(name="resnet18", **values)


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("mobilenetv2_100", [f"blocks.{stage}" for stage in (0, 1, 2, 4, 6)]),
        ("tf_efficientnet_b4", EFFICIENTNET),
    ],
)
def test_real_weights_give_what_timm_gives(
    name: str, modules: list[str], pixels: NDArray[np.uint8], assets: Path
) -> None:
    file = assets / "weights" / f"{name}.pth"
    network = timm.create_model(name).eval()
    network.load_state_dict(torch.load(file, weights_only=True))
    taps = None if name.startswith("mobile") else modules
    backbone = TimmBackbone(name=name, weights=str(file), taps=taps)
    found = features(backbone, backbone.block_count() - 1, pixels[:2])
    assert_close(found, by_hooks(network, modules, pixels[:2]))


LOOK = (
    "import logging, sys; logging.basicConfig(level='INFO', format='%(message)s')\n"
    "from gad_bench.features.timm_backbone import TimmBackbone\n"
    "backbone = TimmBackbone(name='test_vit', pretrained=False)\n"
    "print(backbone.facts(), backbone.block_count(), 'timm' in sys.modules)\n"
)


def look(cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, "GAD_BENCH_CACHE": str(cache)},
        check=True,
        capture_output=True,
        text=True,
    )


def test_what_timm_said_once_is_remembered(tmp_path: Path) -> None:
    first, second = look(tmp_path), look(tmp_path)
    assert first.stdout.removesuffix("True\n") == second.stdout.removesuffix("False\n")
    assert "timm is asked about test_vit" in first.stderr
    assert second.stderr == ""


def test_a_damaged_memory_is_asked_for_again(tmp_path: Path) -> None:
    first = look(tmp_path)
    for file in (tmp_path / "timm-v1").iterdir():
        file.write_text(file.read_text().replace("0.5", "0.6").replace(": 12", ": 11"))
    assert look(tmp_path).stdout == first.stdout


@pytest.mark.parametrize(
    ("name", "tap"), [("resnet18", "global_pool"), ("vit_tiny_patch16_224", "blocks.0")]
)
def test_a_tap_that_gives_no_map_is_named(name: str, tap: str) -> None:
    backbone = TimmBackbone(name=name, pretrained=False, taps=[tap])
    size = backbone.image_size()
    with pytest.raises(UserError, match=rf"backbone\.taps: {tap} returns no map"):
        backbone.build_maps(0)(torch.zeros((1, size, size, 3), dtype=torch.uint8))
