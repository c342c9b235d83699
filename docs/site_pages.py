"""MkDocs' hooks: pages that are made of other files, and links that lead out of docs/.

README, CONTRIBUTING, CHANGELOG and the benchmarks' page stand where GitHub looks for them; the
configuration reference is read from conf/, as `--help` is.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from gad_bench.base.choices import (
    Key,
    choices,
    default_choices,
    first_comment,
    group_names,
    is_global,
    keys_in,
    keys_of,
    main_file,
)
from gad_bench.base.process import config_folder

REPOSITORY = Path(__file__).parent.parent
COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
CONFIGURATION = "configuration.md"
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of other files."""
    for source, page in COPIED.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, CONFIGURATION, content=_configuration()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links between the repository's files lead to the site's pages."""
    sources = {target: source for source, target in COPIED.items()}
    own = page.file.src_uri
    source = sources.get(own, f"docs/{own}")
    return LINK.sub(lambda link: _on_the_site(link, posixpath.dirname(source)), markdown)


def _on_the_site(link: re.Match[str], folder: str) -> str:
    """Return a link to the page that a file has become, or the text alone where it is none."""
    mark, text, target, anchor = link.groups(default="")
    file = posixpath.normpath(posixpath.join(folder, target))
    page = COPIED.get(file) or file.removeprefix("docs/")
    on_the_site = file in COPIED or (
        file.startswith("docs/") and (REPOSITORY / file).is_file() and "/" not in page
    )
    return f"{mark}[{text}]({page}{anchor})" if on_the_site else text


def _configuration() -> str:
    """Return the reference of every value, group and choice."""
    folders = [config_folder()]
    values = [key for key in keys_in(main_file()) if "." not in key.name]
    lines = [
        "# Configuration",
        "",
        "`KEY=VALUE` sets a value, `GROUP=CHOICE` takes a choice, and `GROUP.KEY=VALUE` sets one "
        "of a choice's own keys; `${...}` takes another key's value.",
        "`python -m gad_bench --help GROUP=CHOICE` tells the same.",
        "",
        "## Values",
        "",
        *_keys(values),
    ]
    for group in group_names(folders):
        lines += ["", f"## {group}", ""]
        for name, path in choices(folders, group).items():
            default = " (the default)" if default_choices().get(group) == name else ""
            lines += [f"### {group}={name}{default}", "", f"{first_comment(path)}.", ""]
            lines += _settings(path) if is_global(path) else _keys(keys_of(path))
            lines.append("")
    return "\n".join(lines)


def _keys(keys: list[Key]) -> list[str]:
    if not keys:
        return []
    rows = [f"| `{key.name}` | {_code(key.value)} | {_cell(key.comment)} |" for key in keys]
    return ["| key | default | what it is |", "|---|---|---|", *rows]


def _settings(path: Path) -> list[str]:
    """Return what a choice sets in the whole config, as its file has it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return ["```yaml", *(line for line in lines if not line.startswith("#")), "```"]


def _code(value: str) -> str:
    return f"`{_cell(value)}`" if value else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
