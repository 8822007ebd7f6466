"""Every relative link and anchor in README.md and docs leads to something; images too."""

from __future__ import annotations

import pytest

from tests.docs.blocks import ROOT, anchors_of, links_of, pages


@pytest.mark.parametrize("page", pages())
def test_links(page: str) -> None:
    wrong = []
    for line, target in links_of(page):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not file.exists() or not file.is_relative_to(ROOT):
            wrong.append(f"{page}:{line} {target}: there is no such file")
        elif anchor and (file.suffix != ".md" or anchor not in anchors_of(str(file.relative_to(ROOT)))):
            wrong.append(f"{page}:{line} {target}: there is no such heading")
    assert wrong == []
