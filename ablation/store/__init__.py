"""The store: one directory per unit, and a DONE marker that is written last."""

from ablation.store.store import Store, uri_of
from ablation.store.unit_files import UnitFiles, UnitState, write_atomically, write_json

__all__ = ["Store", "UnitFiles", "UnitState", "uri_of", "write_atomically", "write_json"]
