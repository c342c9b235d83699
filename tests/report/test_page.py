from __future__ import annotations

import csv
import io
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gad_bench.report.frame import Run, Status
from gad_bench.report.page import render_page, write_report
from gad_bench.report.plots import draw_table
from gad_bench.report.report import Report, Request, make_report
from gad_bench.report.text import to_csv, to_markdown

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Collects what a page would fetch, and checks that its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.opened: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.opened.append(tag)
        for name, value in attributes:
            own = (value or "").startswith(("#", "data:"))
            if name in ("src", "href", "xlink:href", "srcset", "action") and not own:
                self.fetched.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(report: Report) -> str:
    return render_page(
        report, {table.layout.name: draw_table(table) for table in report.tables}, Path()
    )


def parsed(report: Report) -> Page:
    page = Page()
    page.feed(rendered(report))
    assert page.opened == []
    return page


@pytest.fixture
def runs(run_of: Any) -> list[Run]:
    """Three estimators on twelve categories and two folds, one of them failed once."""
    generator = np.random.default_rng(0)
    runs = []
    for covariance, level in (("identity", 0.6), ("oas", 0.75), ("ledoit_wolf", 0.77)):
        for category in map(str, range(12)):
            for fold in (0, 1):
                auroc = level + 0.1 * generator.random()
                metrics = {f"auroc_block_{block}": auroc for block in range(3)}
                metrics |= {"auroc": auroc, "auroc_ci_low": auroc - 0.1, "auroc_ci_high": auroc}
                metrics |= {
                    f"{rate}_sigma_{s}_block_0": 1 / s for rate in ("fpr", "tpr") for s in (1, 2)
                }
                runs.append(run_of(category, fold, metrics=metrics, covariance=covariance))
    runs[5] = run_of("2", 1, status=Status.FAILED, covariance="identity")
    return runs


def test_the_page_fetches_nothing(runs: list[Run]) -> None:
    html = rendered(make_report(runs, Request(where={}), "here"))
    assert parsed(make_report(runs, Request(where={}), "here")).fetched == []
    assert not re.search(r"@import|url\((?!#)|fetch\(|<link|https?://", html)


def test_no_two_plots_share_an_id_that_one_refers_to(runs: list[Run]) -> None:
    html = rendered(make_report(runs, Request(where={}), "here"))
    referred = set(re.findall(r'(?:url\(#|href="#)([^")]+)', html))
    ids = re.findall(r' id="([^"]+)"', html)
    assert referred
    assert all(ids.count(name) == 1 for name in referred)


def test_the_page_shows_lines_dots_and_the_ranking(runs: list[Run]) -> None:
    page = parsed(make_report(runs, Request(where={}), "here"))
    assert page.seen.count("svg") == 3
    assert "Wilcoxon's signed-rank test with Holm's correction" in page.text


def test_a_category_that_lacks_runs_takes_no_part_in_the_ranking(runs: list[Run]) -> None:
    page = parsed(make_report(runs, Request(where={}), "here"))
    assert (
        "over 11 categories, 1 is best (1 left out, whose runs are not all finished)" in page.text
    )


def test_what_lacks_is_said_at_the_top_and_in_its_cells(runs: list[Run]) -> None:
    page = parsed(make_report(runs, Request(where={}), "here"))
    assert "71 of 72 runs (1 failed)." in page.text
    assert "2, fold 1, identity: failed, why" in page.text
    assert page.text.count("1 of 2, 1 failed") == 1


def test_two_settings_are_compared_by_wilcoxons_test(runs: list[Run]) -> None:
    two = [run for run in runs if run.keys["covariance"] != "identity"]
    assert "Wilcoxon's signed-rank test" in parsed(make_report(two, Request(where={}), "here")).text


def test_rates_have_a_panel_a_block(runs: list[Run]) -> None:
    report = make_report(runs, Request(table="working_points", where={}), "here")
    assert "block 0" in parsed(report).text


def test_names_from_the_users_data_are_no_markup(run_of: Any) -> None:
    runs = [run_of("<script>alert(1)</script>", f, 0.9, covariance="<b>") for f in (0, 1)]
    page = parsed(make_report(runs, Request(where={}), "<i>"))
    assert page.seen.count("script") == 1
    assert "i" not in page.seen
    assert "b" not in page.seen


def test_more_settings_than_colours_are_still_drawn(run_of: Any) -> None:
    runs = [
        run_of(category, 0, 0.5 + level / 100, covariance=f"c{level}")
        for level in range(25)
        for category in ("bolt", "nut")
    ]
    page = parsed(make_report(runs, Request(where={}), "here"))
    assert "c24" in page.text


@pytest.fixture
def many(run_of: Any, tmp_path: Path) -> list[Run]:
    """31 single runs of settings with long names, each with figures of its own."""
    runs = []
    for number in range(31):
        folder = tmp_path / "runs" / str(number)
        folder.mkdir(parents=True)
        (folder / "curves.png").touch()
        auroc = 0.6 + (number * 7 % 31) / 100
        metrics = {"auroc": auroc, "auroc_ci_low": auroc - 0.05, "auroc_ci_high": auroc + 0.05}
        metrics |= {"seconds_fit": 0.25, "seconds_extract": 3.0 if number == 0 else 0.0}
        keys = {"covariance": "ledoit_wolf", "backbone": f"a_model_of_a_long_name_in1k.{number}"}
        run = run_of("bolt", 0, metrics=metrics, **keys, reduction__threshold=f"0.{number}")
        runs.append(Run(**vars(run) | {"place": str(folder)}))
    return runs


def test_many_settings_are_ranked_with_intervals_and_cost(many: list[Run]) -> None:
    table = make_report(many, Request(where={}), "here").tables[0]
    assert table.layout.rows == ("backbone", "reduction.threshold")
    means = [table.cell(row, ("auroc",)).mean for row in table.rows]
    assert means == sorted(means, reverse=True)
    lines = to_markdown(table).splitlines()
    assert lines[4] == (
        "| backbone | reduction.threshold | AUROC in % | seconds_extract | seconds_fit |"
    )
    assert lines[6].endswith("| 90.0 (85.0 to 95.0) |  | 0.25 |")
    extracted = [row for row in table.rows if table.cell(row, ("seconds_extract",)) is not None]
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    aurocs = [row for row in rows if row["metric"] == "auroc"]
    assert [float(row["mean"]) for row in aurocs] == means
    assert float(aurocs[0]["low"]) == pytest.approx(85)
    assert extracted == [("a_model_of_a_long_name_in1k.0", "0.0")]  # the others were cached


def test_many_settings_are_drawn_without_a_warning(many: list[Run], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(make_report(many, Request(where={}), "here"), tmp_path / "report")


def test_a_folder_holds_the_newest_reports_files_and_the_users_own(
    many: list[Run], tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    chosen = Request(axes=("settings", "category"), where={})
    write_report(make_report(many, chosen, "here"), folder)
    for name in ("notes.md", "jobs.csv"):
        (folder / name).write_text("mine")
    assert (folder / "settings_by_category.csv").exists()
    (folder / ".report").write_text((folder / ".report").read_text() + "../../kept.csv\n")
    (tmp_path / "kept.csv").write_text("mine")
    write_report(make_report(many, Request(where={}), "here"), folder)
    assert not list(folder.glob("settings_by_category*"))
    assert {"notes.md", "jobs.csv", "report.html"} <= {path.name for path in folder.iterdir()}
    assert (tmp_path / "kept.csv").exists()


def test_the_leaderboard_links_each_runs_figures(many: list[Run], tmp_path: Path) -> None:
    page = write_report(make_report(many, Request(where={}), "here"), tmp_path / "report")
    addresses = re.findall(r'<a href="([^"]+)">curves</a>', page.read_text())
    assert len(addresses) == 31
    assert all((page.parent / address).is_file() for address in addresses)


def test_of_many_settings_categories_and_blocks_are_the_columns(many: list[Run]) -> None:
    tables = make_report(many, Request(where={}), "here").tables
    assert [table.layout.columns for table in tables] == [("metric",), ("category",), ("block",)]
