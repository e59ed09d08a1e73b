"""Descriptions: what the user's files are, as options or a small YAML file say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from skelcon.config import Config
from skelcon.data.importers.own.axes import Axes
from skelcon.data.importers.own.columns import Missing
from skelcon.data.importers.source import RAW
from skelcon.data.normalise import Normalisation
from skelcon.errors import nearest

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "px": 1.0}
"""A unit -> metres; a pixel stays one."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "labels", "y", "action", "class"),
    "name": ("name", "names"),
    "subject": ("subject", "subjects"),
    "camera": ("camera", "cameras", "view"),
    "setup": ("setup", "setups"),
    "group": ("group", "groups"),
    "split": ("split", "splits"),
}
"""What is known of clips -> what files call it, unless ``keys`` says otherwise."""


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _several(value: object) -> object:
    if isinstance(value, Mapping):
        return [f"{name}={rule}" for name, rule in value.items()]
    return [value] if isinstance(value, str) else value


def _as_text(value: object) -> object:
    """Plain values of YAML as the texts that they were."""
    if isinstance(value, Mapping):
        return {str(key): str(text) for key, text in value.items()}
    return value


Texts = Annotated[dict[str, str], BeforeValidator(_as_text)]


class Description(Config):
    """What all kinds of files have in common."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = SYNONYMS
    """What ``keys`` may name -> what it is called otherwise."""

    kind: str = Field(description="arrays, files or table")
    layout: str | None = Field(
        None, description="a skeleton layout's name, or its YAML file; of BVH files their own"
    )
    name: str | None = Field(None, description="the data set's name in tables")
    data: str | None = Field(None, description="the files' path, relative to the description")
    unit: Literal["m", "cm", "mm", "px"] | None = Field(
        None,
        description="of the coordinates, which become metres (px stay); by default the layout's",
    )
    columns: Annotated[tuple[str, ...] | None, BeforeValidator(_listed)] = Field(
        None, description="the numbers of a joint: x, y, z, confidence, and _ for any other"
    )
    missing: Missing = Field(
        "absent", description="joints that are missing: absent, interpolate, drop or reject"
    )
    min_confidence: float | None = Field(None, description="a joint with less is missing")
    split: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        (), description="who trains: one rule, a list, or names with rules"
    )
    classes: Texts = Field({}, description="label -> the name of its class; others are refused")
    keys: Texts = Field({}, description="what is known -> what the files call it")
    normalised: Normalisation = Field(
        RAW, description="the steps that the coordinates have been through already"
    )

    @field_validator("keys")
    @classmethod
    def _known_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        out: dict[str, str] = {}
        for key, name in keys.items():
            found = next((own for own, words in cls.takes.items() if key in (own, *words)), None)
            if found is None:
                raise ValueError(f"unknown key '{key}': {nearest(key, cls.takes)}")
            if found in out:
                raise ValueError(f"'{key}' is stated twice ({out[found]} and {name})")
            out[found] = name
        return out

    def names_of(self, key: str) -> tuple[str, ...]:
        """What the files may call ``key``: what is stated, or the usual names."""
        return (self.keys[key],) if key in self.keys else self.takes[key]

    def find_key(self, key: str, among: Sequence[str], required: bool = False) -> str | None:
        """The one of ``among`` that is ``key``; None if there is none.

        Raises:
            ValueError: if it is stated, or required, and not there.
        """
        for name in self.names_of(key):
            if name in among:
                return name
        if key in self.keys or required:
            name = self.names_of(key)[0]
            raise ValueError(f"there is no '{name}', the {key}: {nearest(name, among)}")
        return None


class ArraysDescription(Description):
    """One array of clips: an .npz file, or an .npy file with others beside it."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "x": ("x", "data", "X"),
        **SYNONYMS,
        "lengths": ("lengths", "length", "num_frame", "num_frames"),
    }

    kind: Literal["arrays"] = "arrays"
    axes: str | None = Field(
        None, description="NTVC, NMTVC, NCTVM, NT(MVC), ...; by default the only one that fits"
    )
    padding: Literal["zero", "nan", "replay", "lengths"] | None = Field(
        None, description="how clips end; by default at their length, or before absent frames"
    )

    @field_validator("axes")
    @classmethod
    def _of_clips(cls, text: str | None) -> str | None:
        if text is not None and Axes.parse(text).groups[0] != "N":
            raise ValueError(f"axes '{text}': the first must be N, the clips")
        return text


class FilesDescription(Description):
    """A file a clip, found by the pattern of their names, or listed in a manifest."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "path": ("path", "file", "filename"),
        **SYNONYMS,
        "start": ("start",),
        "end": ("end",),
    }

    kind: Literal["files"] = "files"
    files: str | None = Field(
        None,
        description="their names, such as 'a{label}_s{subject}.txt'; a folder a clip ends in /",
    )
    manifest: str | None = Field(None, description="a CSV or Parquet file with a line a clip")
    rows: Literal["joint", "frame"] | None = Field(
        None, description="a line of text is one joint, or all joints of a frame"
    )
    axes: str | None = Field(None, description="as TVC, VCT or T(MVC), in place of rows")
    bodies: int | None = Field(None, ge=1, description="in every frame; by default as the axes say")
    skip_rows: int = Field(0, ge=0, description="lines of text before the numbers")
    skip_columns: int = Field(0, ge=0, description="numbers of a line before the coordinates")
    variable: str | None = Field(None, description="of .mat and .npz; by default the only one")
    path: str | None = Field(None, description="of the frames in .json, such as frames.*.joints")
    joints: Texts = Field({}, description="layout's joint -> its name in BVH, if that differs")

    @model_validator(mode="after")
    def _one_way(self) -> FilesDescription:
        if (self.files is None) == (self.manifest is None):
            raise ValueError(
                "say what the files are called (files: 'a{label}_s{subject}.txt'), or which "
                "manifest lists them (manifest: clips.csv): one of the two"
            )
        if self.rows and self.axes:
            raise ValueError("rows and axes say the same: give one of them")
        if self.axes is not None and "N" in Axes.parse(self.axes).groups:
            raise ValueError(f"axes '{self.axes}': a file is one clip, so there is no N")
        return self

    @property
    def stated_axes(self) -> Axes | None:
        """By ``axes`` or by ``rows``."""
        by_rows = {"joint": "(TMV)C", "frame": "T(MVC)"}
        text = by_rows[self.rows] if self.rows else self.axes
        return None if text is None else Axes.parse(text)


class TableDescription(Description):
    """One long table: a line a joint, or less, of CSV or Parquet."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "clip": ("clip", "name", "sample", "video"),
        "frame": ("frame", "time"),
        "body": ("body", "person"),
        "joint": ("joint", "landmark", "keypoint"),
        "x": ("x",),
        "y": ("y",),
        "z": ("z",),
        "confidence": ("confidence", "visibility", "score", "likelihood"),
        **{key: names for key, names in SYNONYMS.items() if key != "name"},
        "label": ("label", "action", "class"),
    }

    kind: Literal["table"] = "table"
    manifest: str | None = Field(
        None, description="a CSV or Parquet file with a line a clip: clip, label, subject, ..."
    )
    joints: Texts = Field({}, description="layout's joint -> what the table calls it")

    @field_validator("columns")
    @classmethod
    def _by_keys(cls, columns: tuple[str, ...] | None) -> None:
        if columns is not None:
            raise ValueError("a table names its columns itself: say keys (--key x=NAME)")


KINDS: Mapping[str, type[Description]] = {
    "arrays": ArraysDescription,
    "files": FilesDescription,
    "table": TableDescription,
}
