"""The demonstration, run once for all end-to-end tests of a worker."""

import io
from typing import NamedTuple

import pytest
from rich.console import Console

from analyses.__main__ import main


class Demo(NamedTuple):
    folder: object
    html: str
    printed: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    folder = tmp_path_factory.mktemp("reports") / "generated"
    printed = io.StringIO()
    page = main(folder, Console(file=printed, width=100))
    return Demo(folder, page.read_text(encoding="utf-8"), printed.getvalue())
