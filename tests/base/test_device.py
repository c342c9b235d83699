from __future__ import annotations

import subprocess
import sys

import pytest

from gad_bench.base.errors import UserError
from gad_bench.base.process import resolve_device


def test_auto_is_a_device_that_torch_can_use() -> None:
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    expected = "cuda" if has_cuda else "mps" if has_mps else "cpu"
    assert resolve_device("auto") == expected


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:one", "CPU", ""])
def test_an_unknown_name_lists_the_known_ones(device: str) -> None:
    with pytest.raises(UserError, match="choose auto, cpu, cuda, cuda:N or mps"):
        resolve_device(device)


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(UserError, match=r"device=cuda:99: this machine shows \d+ CUDA devices"):
        resolve_device("cuda:99")


def test_resolving_needs_no_torch() -> None:
    code = (
        "import sys; from gad_bench.base.process import resolve_device; "
        "resolve_device('auto'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
