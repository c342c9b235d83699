"""Where gad_bench's own files lie."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """Return conf/: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


def default_cache_folder() -> Path:
    """Return the user's own cache folder, which GAD_BENCH_CACHE or cache_dir replaces."""
    from platformdirs import user_cache_path

    return user_cache_path("gad_bench")
