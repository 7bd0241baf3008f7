"""Results as plain JSON that others can open, and that print the same later."""

from alliance_stats.archive.documents import from_dict, load_result, opened, save_result, to_dict

__all__ = ["from_dict", "load_result", "opened", "save_result", "to_dict"]
