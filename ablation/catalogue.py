"""The studies and searches that come with skelcon, by name; light enough for ``--help``."""

from __future__ import annotations

from pathlib import Path

from skelcon.yamlfile import read_yaml

STUDIES = Path(__file__).resolve().parent.parent / "search_spaces"
SPACES = STUDIES / "searches"


def known_studies() -> dict[str, Path]:
    """The studies that come with skelcon: name -> file."""
    return {path.stem: path for path in sorted(STUDIES.glob("*.yaml"))}


def known_spaces() -> dict[str, Path]:
    """The searches that come with skelcon: name -> file."""
    return {path.stem: path for path in sorted(SPACES.glob("*.yaml"))}


def headline(path: Path) -> tuple[str, str | None]:
    """The title of a study or search, and the paper's table that a study reproduces."""
    values = read_yaml(path).values
    return str(values.get("title", path.stem)), values.get("reproduces")
