"""Fake results with awkward labels, and a parser that reads a page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import yaml
from claim_helpers import finish
from study_helpers import TINY_STUDY

from ablation.plan import Plan, make_plan
from ablation.report.from_results import save_plan
from ablation.store import Store, write_json
from ablation.study import load_study
from ablation.units import PretrainUnit
from skelcon.data import SkeletonDataset

SCRIPT = "<script>alert(1)</script>"
ODD = "\"a\" & 'b' [x] </style> {{ 7 * 7 }} \U0001f9b4 𝕊"
TITLE = "</title><img src=x onerror=alert(2)>"
CLAIM = "Crop & jitter > none, <b>always</b>."
FAILURE = "</td></table> failed & 'burnt'"
VOID = {"meta", "link", "img", "br", "input"}


def write_results(folder: Path, dataset: SkeletonDataset, name: str = "tiny") -> Plan:
    """A table of five seeds in ``folder``, with one failure and one unit that was not run."""
    study = yaml.safe_load(TINY_STUDY)
    study["title"] = TITLE
    study["rows"]["none"]["label"] = SCRIPT
    study["rows"]["crop+jitter"]["label"] = ODD
    study["columns"]["seq"]["label"] = "<b>SEQ</b>"
    study["claims"] = [
        {"text": CLAIM, "source": "<i>Section</i>", "rows": "crop+jitter > none"},
        {"text": "It harms.", "rows": "none > crop+jitter", "within": ["seq"]},
    ]
    file = folder.parent / f"{name}.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    plan = make_plan(load_study(file), dataset, preset="small", seeds=tuple(range(5)))
    store = Store(folder)
    finish(plan, store, {"none": 0.3, "crop+jitter": 0.9}, of_seeds=0.02)
    for number, (key, unit) in enumerate(plan.units.items()):
        if isinstance(unit, PretrainUnit):
            directory = store.begin(key, unit.to_json())
            write_json(directory / "result.json", {"top1": 0.5, "loss": 1.0})
            store.finish(key)
        write_json(store.directory(key) / "provenance.json", provenance(key, number))
    broken, absent = [cell.unit.key for cell in plan.cells[:2] if cell.unit]
    for key in (broken, absent):
        (store.directory(key) / "DONE").unlink()
    store.fail(broken, FAILURE)
    save_plan(plan, folder, folder / name)
    return plan


def provenance(key: str, number: int) -> dict[str, object]:
    return {
        "unit": key,
        "data": {"family": "utd-mhad"},
        "seconds": 60.0 + number,
        "finished": "2031-02-03T04:05:06+00:00",
        "device": "cpu",
        "threads": 1,
        "revision": "c0ffee",
        "peak_memory": {"process_mib": 500.0 + number},
        "versions": {"python": "3.11.0", "torch": "2.9.0"},
        "hardware": {"cpu": "A <fast> CPU", "cores": 2, "gpu": None, "system": "Linux"},
    }


class Reader(HTMLParser):
    """A page as a program reads it back.

    Attributes:
        elements: each with its attributes, in order.
        text: all that is shown.
        cells: what stands in each td and th.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text, self.cells = "", list[str]()
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "elements that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data
            if {"td", "th"} & {*self._open}:
                self.cells[-1] += data

    def values(self, attribute: str) -> list[str]:
        """The values of an attribute in all elements that have it."""
        return [own[attribute] for _, own in self.elements if attribute in own]
