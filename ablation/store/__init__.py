"""The store: one directory per unit, and a DONE marker that is written last."""

from ablation.store.store import Store, uri_of
from ablation.store.unit_files import State, UnitFiles, write_atomically, write_json

__all__ = ["State", "Store", "UnitFiles", "uri_of", "write_atomically", "write_json"]
