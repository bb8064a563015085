"""MkDocs hooks: pages from outside ``docs/``, the decision records, and the API reference.

The README, the model cards and the samples lie where people look for them in the repository. This file gives them a
place on the site and rewrites relative links accordingly. A link to a file that is not on the site (source code, for
example) becomes plain text there.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "melodygen"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")


def _outside() -> dict[str, str]:
    """Repository path -> path on the site, for pages that do not lie in ``docs/``."""
    pages = {"README.md": "overview.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    pages |= {"samples/README.md": "samples/index.md"}
    for card in sorted((ROOT / "models").glob("*/README.md")):
        pages[card.relative_to(ROOT).as_posix()] = f"models/{card.parent.name}.md"
    return {path: uri for path, uri in pages.items() if (ROOT / path).is_file()}


def _packages() -> dict[str, list[str]]:
    """Page of the API reference -> its modules. A package with sub-packages has one page for all of them."""
    top = sorted(f"melodygen.{p.stem}" for p in SOURCE.glob("*.py") if not p.stem.startswith("_"))
    pages = {"melodygen": top}
    for init in sorted(SOURCE.glob("*/__init__.py")):
        package = init.parent
        files = sorted(p for p in package.rglob("*.py") if p.stem != "__main__")
        names = [".".join(p.relative_to(SOURCE.parent).with_suffix("").parts) for p in files]
        pages[package.name] = [name.removesuffix(".__init__") for name in names]
    return pages


def _summary(module: Path) -> str:
    doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split())


def _listed(entries: list[Any]) -> set[str]:
    """Paths of all pages in a part of the navigation."""
    found: set[str] = set()
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found |= _listed(value) if isinstance(value, list) else {value}
    return found


def on_config(config: Any) -> Any:
    """Add pages that mkdocs.yml does not list, decisions, model cards and the API reference to the navigation."""
    docs = ROOT / "docs"
    decisions = sorted(p.name for p in (docs / "decisions").glob("*.md"))
    pages = {p.relative_to(docs).as_posix() for p in docs.rglob("*.md")}
    others = sorted(pages - _listed(config.nav) - {f"decisions/{name}" for name in decisions})
    cards = [uri for uri in _outside().values() if uri.startswith("models/")]
    api = ["api/index.md", *(f"api/{name}.md" for name in _packages())]
    config.nav += [
        *([{"Further pages": others}] if others else []),
        {"Decisions": [f"decisions/{name}" for name in decisions]},
        {"Model cards": cards},
        {"API reference": api},
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and the sound files that do not lie in ``docs/``."""
    for path, uri in _outside().items():
        files.append(File.generated(config, uri, content=(ROOT / path).read_text(encoding="utf-8")))
    for sample in sorted((ROOT / "samples").iterdir()):
        if sample.suffix in (".ogg", ".mid"):
            files.append(File.generated(config, f"samples/{sample.name}", abs_src_path=str(sample)))
    lines = ["# API reference", "", "One page for each package, made from the docstrings.", ""]
    lines += ["Top level: [melodygen](melodygen.md)", ""]
    for name, modules in _packages().items():
        text = "\n\n".join([f"# melodygen.{name}".replace(".melodygen", ""), *(f"::: {m}" for m in modules)])
        files.append(File.generated(config, f"api/{name}.md", content=text + "\n"))
        if name != "melodygen":
            lines.append(f"- [{name}]({name}.md): {_summary(SOURCE / name / '__init__.py')}")
    files.append(File.generated(config, "api/index.md", content="\n".join(lines) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links between files of the repository at their pages on the site."""
    uri = page.file.src_uri
    if uri.startswith("api/"):
        return markdown
    outside = _outside()
    origin = next((path for path, to in outside.items() if to == uri), f"docs/{uri}")

    def rewritten(match: re.Match[str]) -> str:
        bang, text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match.group(0)
        path, _, anchor = target.partition("#")
        found = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if found.startswith("docs/"):
            to = found.removeprefix("docs/")
        else:
            to = outside.get(found, found)
        if files.get_file_from_path(to) is None:
            if found.startswith("docs/") or not (ROOT / found).exists():
                return match.group(0)  # a broken link: MkDocs reports it
            return text
        relative = posixpath.relpath(to, posixpath.dirname(uri) or ".")
        return f"{bang}[{text}]({relative}{'#' + anchor if anchor else ''})"

    return LINK.sub(rewritten, markdown)
