"""What Hydra's launchers need of gad_bench: clear refusal, a share of the machine, a folder."""

from __future__ import annotations

import os
import shutil
from importlib import import_module

from gad_bench.errors import UserError
from gad_bench.features.device import cuda_devices
from gad_bench.paths import config_folder

EXTRAS = {
    "hydra_joblib_launcher": "joblib",
    "hydra_ray_launcher": "ray",
    "hydra_submitit_launcher": "slurm",
}
"""Plugins by package, and the extra of gad-bench that installs each."""
FOLDER = "GAD_BENCH_FOLDER"


def prefer_presets() -> None:
    """Let conf/hydra/launcher/ stand for the plugins' own configs of the same names.

    Hydra 1.3 would merge the two and warn that a later one will not (automatic schema matching).
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # finds the plugins, which register their configs
    registered = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    for preset in (config_folder() / "hydra" / "launcher").glob("*.yaml"):
        registered.pop(preset.name, None)


def require_launcher(target: str) -> None:
    """Refuse a launcher whose plugin is not installed, or whose cluster is not here.

    Args:
        target: the launcher's class, by its full name.

    Raises:
        UserError: names the extra to install, or what the machine lacks.
    """
    module = target.rpartition(".")[0]
    extra = next((EXTRAS[part] for part in module.split(".") if part in EXTRAS), None)
    if extra is None:
        return
    try:
        import_module(module)
    except ImportError as error:
        raise UserError(
            f"this hydra/launcher is not installed ({error}): pip install 'gad-bench[{extra}]'"
        ) from error
    if target.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise UserError(
            "hydra/launcher=submitit_slurm: this machine has no srun: start the sweep on a node of "
            "the Slurm cluster, or try it by hydra/launcher=submitit_local"
        )


def is_launchers(error: BaseException) -> bool:
    """Tell whether an error is a launcher's own, as when one of its processes was killed."""
    return type(error).__module__.partition(".")[0] in ("joblib", "ray", "submitit")


def processes() -> int:
    """Return how many jobs a machine runs at once: one a GPU, or one a core (-1 for joblib)."""
    return cuda_devices() or -1


def gpus_a_job() -> int:
    """Return the GPUs that a job asks for: one where this machine has any."""
    return min(cuda_devices(), 1)


def enter_folder() -> None:
    """Make a Ray worker work where the sweep was started, as a process on that machine would.

    Raises:
        UserError: this node does not have the folder.
    """
    folder = os.environ[FOLDER]
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be entered on this node ({error.strerror}): "
            "start the sweep in a folder that all nodes share"
        ) from error
