"""What plans, lists and answers does not wait for torch."""

import subprocess
import sys
from typing import get_args

from skelcon.cli.data import STEPS
from skelcon.cli.options import FORMATS as IMPORTED
from skelcon.cli.options import PROTOCOLS, BodyOrder, ExportFormat
from skelcon.data import Normalisation, splits
from skelcon.data.export import FORMATS
from skelcon.data.importers import FAMILIES
from skelcon.data.importers.bodies import Bodies

HEAVY = ("torch", "scipy", "pandas", "matplotlib", "ray", "pyarrow")


def imported_by(program: str, *names: str) -> list[str]:
    """Which of ``names`` a Python process has imported after ``program``."""
    code = f"{program}\nimport sys; print(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


LIGHT = (
    "import skelcon",
    "import skelcon.settings",
    "import skelcon.plugins",
    "import skelcon; skelcon.register_augmentation",
    "from skelcon.presets import *; resolve_with_preset(preset_tree('quick'), (), {}, '')",
    "from skelcon.augment import JitterConfig",
    "from skelcon.encoders import EncodersConfig, ENCODERS; EncodersConfig().resolved(['seq'])",
    "from skelcon.pretrain import PretrainConfig, check_batch",
    "from skelcon.downstream import LinearConfig, RetrievalConfig, FinetuneConfig",
    "from skelcon.downstream.tasks import TASKS",
)


def test_settings_do_not_import_what_trains():
    """All in one process: what one of them imports stays there."""
    assert imported_by("\n".join(LIGHT), *HEAVY, "numpy") == []


def test_help_does_not_import_what_works():
    program = """
import contextlib, io, sys
from skelcon.cli.program import main
for command in ([], ["data"], ["embed"], ["figures"]):
    sys.argv = ["skelcon", *command, "--help"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()
"""
    assert imported_by(program, *HEAVY, "numpy") == []


def test_choices_on_the_command_line_are_those_that_there_are():
    assert tuple(FAMILIES) == IMPORTED
    assert tuple(BodyOrder) == get_args(Bodies)
    assert tuple(ExportFormat) == FORMATS
    assert tuple(name.replace("-", "_") for name in STEPS) == tuple(Normalisation.model_fields)
    listed = set(PROTOCOLS.replace(" or", ",").split(", "))
    assert listed == {*splits.PROTOCOLS, "the data's own"}


def test_the_engine_is_imported_when_it_is_used():
    assert imported_by("import ablation", *HEAVY, "numpy", "pydantic", "ablation.api") == []
    names = "'compare figure load_cells load_table run'"
    program = f"import ablation; assert ' '.join(ablation.__all__) == {names}; ablation.run"
    assert imported_by(program, *HEAVY) == []
