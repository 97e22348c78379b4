"""Committed pages that the program writes are what it would write now."""

import pytest

from tests.architecture.generated import PAGES, Page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_generated_page_is_current(page: Page):
    assert page.file.read_text(encoding="utf-8") == page.render(), (
        f"{page.path} is stale: run `make docs` and commit it"
    )
