"""``skelcon embed``, ``retrieve`` and ``import-weights``: use trained encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skelcon.cli.console import can_write, progress_bar
from skelcon.cli.opening import open_data
from skelcon.cli.options import PROTOCOLS, DataOption, JsonOption, PluginOption
from skelcon.cli.terminal import PlainConsole, echo
from skelcon.config import Json
from skelcon.errors import UserError, nearest
from skelcon.printable import counted
from skelcon.wholefile import whole_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skelcon.data import SkeletonDataset
    from skelcon.encoders import Encoder

WeightsArgument = Annotated[
    Path, typer.Argument(help="A weights.safetensors, or a directory that holds one.")
]
RepresentationOption = Annotated[
    str | None,
    typer.Option(
        help="img, stg, seq or a registered one; needed if the weights hold several.",
        show_default=False,
    ),
]


def embed(
    weights: WeightsArgument,
    out: Annotated[Path, typer.Argument(help="The .npz file to write.")],
    data: DataOption = None,
    representation: RepresentationOption = None,
    plugins: PluginOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"Add the array 'split' (0 trains, 1 tests, -1 neither) of {PROTOCOLS}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the features of every clip to OUT, from the central 95 % of each.

    \b
    features     (n, D) float32, in file order
    labels       (n,) int64, indices into class_names
    clip_names   (n,)
    class_names  (classes,)
    """
    import numpy as np

    from skelcon.data import choose_protocol
    from skelcon.plugins import load_plugins
    from skelcon.pretrain import load_encoder

    load_plugins(plugins or ())
    _check_suffix(out, ".npz")
    console = PlainConsole(stderr=True)
    encoder = load_encoder(weights, representation)
    dataset = open_data(data, console)
    arrays: dict[str, NDArray[np.generic]] = {}
    if protocol is not None:
        arrays["split"] = dataset.splits[choose_protocol(dataset, [protocol])]
    arrays["features"] = features = _embedded(console, encoder, dataset)
    arrays["labels"] = dataset.labels
    arrays["clip_names"] = np.array(dataset.clip_names, np.str_)
    arrays["class_names"] = np.array(dataset.class_names, np.str_)
    with can_write(out):
        _write_npz(out, arrays)
    echo(f"{out}: {counted(len(features), 'clip')}, {features.shape[1]} features each")


def retrieve(
    weights: WeightsArgument,
    query: Annotated[str, typer.Option(help="The name of a clip.")],
    data: DataOption = None,
    representation: RepresentationOption = None,
    plugins: PluginOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many clips.")] = 5,
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"Whose training side is searched: {PROTOCOLS}.",
            show_default="the first that the data set has",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the training clips nearest to a clip by cosine similarity, without the clip itself."""
    import numpy as np

    from skelcon import data as skeletons
    from skelcon.downstream import nearest_clips
    from skelcon.plugins import load_plugins
    from skelcon.pretrain import load_encoder

    load_plugins(plugins or ())
    console = PlainConsole(stderr=True)
    encoder = load_encoder(weights, representation)
    dataset = open_data(data, console)
    if query not in dataset.clip_names:
        hint = nearest(query, dataset.clip_names)
        raise UserError(f"data set '{dataset.name}' has no clip '{query}': {hint}")
    chosen = skeletons.choose_protocol(
        dataset, skeletons.PROTOCOLS if protocol is None else [protocol]
    )
    index = dataset.clip_names.index(query)
    skeletons.require_sides(dataset, chosen, "train")
    gallery = skeletons.split(dataset, chosen, "train")
    gallery = gallery[gallery != index]
    features = _embedded(console, encoder, dataset, np.append(gallery, index))
    rows, cosines = nearest_clips(features[-1], features[:-1], k)

    answer: Json = {
        "query": _clip(dataset, index),
        "representation": encoder.representation,
        "protocol": chosen,
        "nearest": [
            {**_clip(dataset, int(clip)), "cosine": float(cosine)}
            for clip, cosine in zip(gallery[rows], cosines, strict=True)
        ],
    }
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    else:
        _print_nearest(answer, len(gallery))


def _clip(dataset: SkeletonDataset, index: int) -> dict[str, str]:
    label = dataset.class_names[dataset.labels[index]]
    return {"clip": dataset.clip_names[index], "class": label}


def _print_nearest(answer: Json, searched: int) -> None:
    query = answer["query"]
    echo(
        f"{query['clip']} ({query['class']}): the nearest of {searched} training clips "
        f"({answer['protocol']}, {answer['representation']})"
    )
    table = Table.grid(padding=(0, 2))
    for each in answer["nearest"]:
        table.add_row(f"{each['cosine']:.4f}", each["clip"], each["class"])
    PlainConsole().print(table, soft_wrap=True)


def import_weights(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint that the public code of a paper wrote.")
    ],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="authors, aimclr (also CrosSCLR, SkeletonCLR), cmd or mamp.",
            show_default="by the names of the tensors",
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            help="joint, bone or motion: what it was trained on, or which of several to use.",
            show_default="as the file says, else joint",
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Frames of a view.",
            show_default="the source's; for img and mamp they follow from the tensors",
        ),
    ] = None,
) -> None:
    """Convert a checkpoint of public code to weights of skelcon.

    It keeps the query encoders of a contrast, or the encoder of a masked
    autoencoder, and drops key encoders, decoders, queues and projection heads.
    No code in the checkpoint is run. skelcon's README lists the sources and how
    their clips are imported.
    """
    from skelcon.pretrain.foreign import import_weights as converted

    _check_suffix(out, ".safetensors")
    with can_write(out):
        found, encoders = converted(checkpoint, out, frames, source=source, stream=stream)
    for name, encoder in encoders.items():
        echo(
            f"{name}: {encoder.feature_size} features of views of {encoder.bodies} bodies, "
            f"{encoder.frames} frames, {encoder.layout.num_joints} joints"
        )
    if found.clips:
        echo(f"{found.title} was trained on these clips: {found.clips}")


def _embedded(
    console: PlainConsole,
    encoder: Encoder,
    dataset: SkeletonDataset,
    clips: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """The features of ``clips``, or of all; computed on a GPU if there is one."""
    import torch

    from skelcon.downstream import embed as features_of

    encoder = encoder.to("cuda" if torch.cuda.is_available() else "cpu")
    with progress_bar(console, "embedding") as progress:
        return features_of(encoder, dataset, clips, progress=progress)


def _check_suffix(out: Path, suffix: str) -> None:
    """:class:`UserError` for another suffix: two swapped arguments must overwrite nothing."""
    if out.suffix != suffix or out.is_dir():
        raise UserError(f"'{out}' must be a file that ends in {suffix}")


def _write_npz(out: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write an .npz without pickles, whole or not at all."""
    import numpy as np

    with whole_file(out) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
