"""Whether painted defects choose as real ones do: rank correlation, and what the choice costs.

    python -m gad_bench -m selection=synthetic fold=cross ... (a sweep over configurations)
    python benchmarks/selection.py multirun/DATE/TIME [more of them] --default backbone=...

Reads `metrics.json` of every job. A configuration is what differs but for the category. Regret is
how much AUROC on the real defects is lost by taking the configuration of the highest
auroc_synthetic, in percentage points; beside it that of the default, and of chance: the mean over
all configurations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from gad_bench.report.folders import read_folder
from gad_bench.report.frame import Run, Status, long_frame, one_row_each, varying

SYNTHETIC = "auroc_synthetic"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="sweeps' folders")
    parser.add_argument("--default", nargs="*", default=[], help="KEY=VALUE of the default")
    arguments = parser.parse_args()
    runs = [run for folder in arguments.folders for run in read_folder(folder)]
    table = tabulate([run for run in runs if run.status is Status.FINISHED])
    default = dict(pair.split("=", 1) for pair in arguments.default)
    print(summarise(table, default).round(3).to_string(index=False))


def tabulate(runs: list[Run]) -> pd.DataFrame:
    """Return a row a run: category, the keys that vary, and its AUROCs in percent."""
    frame = long_frame(runs)
    keys = list(varying(frame))
    table = one_row_each(frame)[["run", "category", *keys]].set_index("run")
    measured = frame[(frame["block"] == "all") & frame["metric"].str.startswith("auroc")]
    values = 100 * measured.pivot(index="run", columns="metric", values="value")
    names = map(str, values)
    wanted = [name for name in names if name == "auroc" or name.startswith(SYNTHETIC)]
    return table.join(values[wanted])


def summarise(table: pd.DataFrame, default: dict[str, str]) -> pd.DataFrame:
    """Return a row a category and way to choose."""
    rows = []
    for category, own in table.groupby("category", observed=True):
        best = own["auroc"].max()
        is_default = np.array(
            [
                all(str(row[key]) == value for key, value in default.items())
                for _, row in own.iterrows()
            ]
        )
        for name in (one for one in own if str(one).startswith(SYNTHETIC)):
            chosen = own["auroc"][own[name] == own[name].max()].mean()
            rows.append(
                {
                    "category": category,
                    "configurations": len(own),
                    "chosen by": name,
                    "rank correlation": spearmanr(own[name], own["auroc"]).statistic,
                    "p": spearmanr(own[name], own["auroc"]).pvalue,
                    "best": best,
                    "regret": best - chosen,
                    "of the default": best - own["auroc"][is_default].mean() if default else np.nan,
                    "of chance": best - own["auroc"].mean(),
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
