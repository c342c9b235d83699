from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gad_bench.base.errors import UserError
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Backbone
from gad_bench.features.runtime import (
    AutoRuntime,
    OpenVinoRuntime,
    TorchRuntime,
    _InTurn,
    _TorchModel,
)
from gad_bench.features.timm_backbone import TimmBackbone

RESNET18 = TimmBackbone(
    name="resnet18", pretrained=False, input_size=64, taps=["maxpool", "layer2", "layer4"]
)
BACKBONES = [
    RESNET18,
    TimmBackbone(name="tf_efficientnet_b0", pretrained=False, input_size=64, taps=["bn1", "bn2"]),
    TimmBackbone(name="test_vit", pretrained=False, input_size=64),
    FilterBank(input_size=64, octaves=3),
]


def relative_difference(one: list[NDArray[np.float32]], two: list[NDArray[np.float32]]) -> float:
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.name)
def test_the_runtimes_agree(backbone: Backbone, pixels: NDArray[np.uint8]) -> None:
    module = backbone.build(backbone.block_count() - 1)
    openvino = OpenVinoRuntime().compile(module, 64, "cpu")(pixels)
    with torch.inference_mode():
        plain = [block.numpy() for block in module(torch.from_numpy(pixels))]
    compiled = TorchRuntime().compile(module, 64, "cpu")(pixels)
    assert relative_difference(openvino, plain) < 1e-4
    assert relative_difference(compiled, plain) < 1e-5


@pytest.mark.parametrize("runtime", [TorchRuntime(), OpenVinoRuntime()], ids=["torch", "openvino"])
def test_features_do_not_depend_on_the_batch(
    runtime: TorchRuntime | OpenVinoRuntime, pixels: NDArray[np.uint8]
) -> None:
    model = runtime.compile(RESNET18.build(2), 64, "cpu")
    whole = model(pixels)
    parts = [model(pixels[:3]), model(pixels[3:])]
    joined = [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]
    assert relative_difference(joined, whole) == 0


@pytest.mark.parametrize("runtime", [TorchRuntime(), OpenVinoRuntime()], ids=["torch", "openvino"])
def test_several_callers_at_once_get_their_own_features(
    runtime: TorchRuntime | OpenVinoRuntime, pixels: NDArray[np.uint8]
) -> None:
    model = runtime.compile(RESNET18.build(2), 64, "cpu")
    batches = [pixels[call % 3 : 4 + call % 2] for call in range(60)]
    with ThreadPoolExecutor(6) as callers:
        together = list(callers.map(model, batches))
    for found, batch in zip(together, batches, strict=True):
        assert relative_difference(found, model(batch)) == 0


def test_a_callers_error_gives_its_requests_back(pixels: NDArray[np.uint8]) -> None:
    model = OpenVinoRuntime().compile(RESNET18.build(0), 64, "cpu")
    alone = model(pixels)
    requests = model.requests  # type: ignore[attr-defined]

    def ask(call: int) -> list[NDArray[np.float32]] | None:
        if call % 2:
            return model(pixels)
        with pytest.raises(RuntimeError):
            model(pixels[:, :32])  # of another size than the network's
        return None

    with ThreadPoolExecutor(6) as callers:
        found = [features for features in callers.map(ask, range(60)) if features]
    assert all(relative_difference(features, alone) == 0 for features in found)
    assert requests.idle.qsize() == requests.count
    assert requests.callers == 0


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.name)
@pytest.mark.parametrize("runtime", [TorchRuntime(), OpenVinoRuntime()], ids=["torch", "openvino"])
def test_features_do_not_depend_on_the_number_of_threads(
    runtime: TorchRuntime | OpenVinoRuntime,
    backbone: Backbone,
    pixels: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def extract_on(threads: int) -> list[NDArray[np.float32]]:
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        return runtime.compile(backbone.build(2), 64, "cpu")(pixels)

    assert relative_difference(extract_on(1), extract_on(2)) == 0


def test_openvino_keeps_to_its_threads_and_to_no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    model = OpenVinoRuntime().compile(RESNET18.build(0), 64, "cpu")
    compiled = model.requests.idle.get().get_compiled_model()  # type: ignore[attr-defined]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert not compiled.get_property("ENABLE_CPU_PINNING")


@pytest.mark.parametrize("runtime", [TorchRuntime, OpenVinoRuntime])
def test_bfloat16_is_used_where_it_is_asked_for(
    runtime: type[TorchRuntime | OpenVinoRuntime], pixels: NDArray[np.uint8]
) -> None:
    module = RESNET18.build(2)
    exact = runtime().compile(module, 64, "cpu")(pixels)
    try:
        rounded = runtime(precision="bfloat16").compile(module, 64, "cpu")(pixels)
    except UserError:
        pytest.skip("this processor has no bfloat16")
    assert all(block.dtype == np.float32 for block in rounded)
    assert 1e-4 < relative_difference(rounded, exact) < 0.1


def test_auto_is_openvino_on_the_cpu() -> None:
    assert AutoRuntime().facts("cpu") == OpenVinoRuntime().facts("cpu")
    assert AutoRuntime(precision="bfloat16").facts("cpu")["precision"] == "bfloat16"


def test_facts_name_what_changes_a_feature_and_no_default() -> None:
    assert OpenVinoRuntime().facts("auto") == {
        "runtime": "openvino",
        "precision": "float32",
        "device": "cpu",
    }
    assert TorchRuntime(precision="float16").facts("cpu") == {
        "runtime": "torch",
        "precision": "float16",
        "device": "cpu",
    }


def test_tf32_is_no_fact_of_a_cpu() -> None:
    assert TorchRuntime(tf32=True).facts("cpu") == TorchRuntime().facts("cpu")


class _Tf32(nn.Module):
    """Tells whether a GPU would round to TF32 now."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        products = torch.backends.cuda.matmul.allow_tf32
        return (torch.tensor([products, torch.backends.cudnn.allow_tf32]).expand(len(pixels), 2),)


def test_tf32_is_each_models_own(pixels: NDArray[np.uint8]) -> None:
    models = {on: _in_turn(_Tf32(), tf32=on) for on in (True, False)}
    for on in (True, False, True):
        (told,) = models[on](pixels)
        assert (told == on).all()


def test_tf32_is_each_models_own_among_several_callers(pixels: NDArray[np.uint8]) -> None:
    models = {on: _in_turn(_Tf32(), tf32=on) for on in (True, False)}
    wanted = [True, False] * 100
    with ThreadPoolExecutor(6) as callers:
        found = list(callers.map(lambda on: models[on](pixels), wanted))
    for on, (told,) in zip(wanted, found, strict=True):
        assert (told == on).all()


def _in_turn(module: nn.Module, tf32: bool) -> _InTurn:
    """What a GPU's model is, on a CPU."""
    return _InTurn(_TorchModel(module, torch.device("cpu"), torch.float32, tf32))


@pytest.mark.parametrize("runtime", [TorchRuntime, OpenVinoRuntime, AutoRuntime])
def test_an_unknown_precision_lists_the_known_ones(
    runtime: type[TorchRuntime | OpenVinoRuntime | AutoRuntime],
) -> None:
    with pytest.raises(UserError, match="choose one of float32, bfloat16, float16"):
        runtime(precision="half")


def test_a_precision_that_the_processor_lacks_is_refused() -> None:
    import openvino

    if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has float16")
    with pytest.raises(UserError, match="OpenVINO lacks it on this CPU"):
        OpenVinoRuntime(precision="float16").compile(RESNET18.build(0), 64, "cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="device=cuda:99"):
        OpenVinoRuntime().facts("cuda:99")
    with pytest.raises(UserError, match="device=cuda:99"):
        TorchRuntime().compile(RESNET18.build(0), 64, "cuda:99")


class _SmallMemory(nn.Module):
    """Stands for a device that holds three images."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        if len(pixels) > 3:
            raise torch.OutOfMemoryError
        return (pixels.float().mean((1, 2)),)


def test_short_memory_halves_the_batch_for_good_with_a_word(
    pixels: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    model = _TorchModel(_SmallMemory(), torch.device("cpu"), torch.float32, tf32=False)
    with caplog.at_level(logging.WARNING):
        first, second = model(pixels), model(pixels)
    assert relative_difference(first, [pixels.mean((1, 2), dtype=np.float32)]) < 1e-6
    assert relative_difference(first, second) == 0
    assert caplog.messages == ["cpu is out of memory: going on with batches of 2"]
