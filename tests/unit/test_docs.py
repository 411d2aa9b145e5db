"""The documentation names files that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP_LEVEL = frozenset(
    entry.name for entry in ROOT.iterdir() if entry.is_dir() and entry.name not in (".git", ".venv")
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([\w.*/@-]+)`")
LINKED = re.compile(r"\]\((?!https?:)([^)#\s]+)")
FILE_ENDINGS = (".py", ".md", ".sql", ".toml", ".json", ".yaml", ".yml", ".lock", ".csv")


def named_paths(text: str) -> Iterator[str]:
    """What a Markdown text in backticks calls a file or folder of the project: `a/b.py`, `a/b/`, `a/*.py`.

    Fenced blocks are left out, and so is anything with a placeholder: `services/<name>/app.py`.
    """
    for name in QUOTED.findall(FENCED.sub("", text)):
        if name.startswith("/") or "//" in name:
            continue
        if name.endswith((*FILE_ENDINGS, "/")) or name.split("/", 1)[0] in TOP_LEVEL:
            yield name


def missing(document: Path, root: Path) -> list[str]:
    """The paths that `document` names in backticks or links and that are not there."""
    text = document.read_text(encoding="utf-8")
    names = {name for name in named_paths(text) if not any(root.glob(name.rstrip("/")))}
    links = {link for link in LINKED.findall(text) if not (document.parent / link).exists()}
    return sorted(names | links)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_named_files_exist(document: Path) -> None:
    assert missing(document, ROOT) == []


def test_a_wrong_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "here.py").touch()
    page = tmp_path / "page.md"
    page.write_text(
        "`services/here.py`, `services/*.py`, `services/<name>/any.py`, `/livez`\n"
        "`services/gone.py`, `gone.md`\n"
        "[here](services/here.py), [gone](services/gone.md), [away](https://example.org/gone.md)\n"
        "```\n`services/fenced.py`\n```\n",
        encoding="utf-8",
    )

    assert missing(page, tmp_path) == ["gone.md", "services/gone.md", "services/gone.py"]
