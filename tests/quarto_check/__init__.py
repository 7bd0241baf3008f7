"""What must hold of a Quarto document before Quarto sees it."""

from tests.quarto_check.check import Checked, check_document

__all__ = ["Checked", "check_document"]
