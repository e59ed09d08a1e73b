"""The store: one directory a unit, and a DONE marker that is written last. It is the truth."""

from ablation.store.store import Store, uri_of, write_atomically, write_json

__all__ = ["Store", "uri_of", "write_atomically", "write_json"]
