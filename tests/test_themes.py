"""The themes' tokens: enough contrast in every theme, light and dark, as read from the stylesheet itself."""

import re

import pytest
from django.conf import settings

from cockpit.dashboard import themes

SHEET = (settings.BASE_DIR / "static/css/themes.css").read_text()
NAMES = ["cockpit", "swaggystacks", "scientia_capital"]
WORDS = ("text", "quiet", "accent", "good", "warn", "bad", "badge")
LINES = ("s1", "s2", "s3", "s4")


def tokens(theme: str, mode: int) -> dict[str, str]:
    """A theme's colours over the neutral ones; `mode` is 0 for light, 1 for dark."""
    found: dict[str, str] = {}
    for selector in (":root, :host", f'[data-theme="{theme}"]'):
        block = re.search(rf"^{re.escape(selector)} {{(.*?)^}}", SHEET, re.DOTALL | re.MULTILINE)
        if block is None:
            assert theme == "cockpit"
            continue
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", block[1]):
            found[name] = (light, dark)[mode]
        for name, colour in re.findall(r"--([\w-]+): (#\w{6});", block[1]):
            found[name] = colour
        for name, other in re.findall(r"--(bar-\w+): var\(--(\w+)\);", block[1]):
            found[name] = found[other]
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("theme", NAMES)
def test_words_and_lines_can_be_read(theme: str, mode: int) -> None:
    found = tokens(theme, mode)
    pairs = [(name, ground, 4.5) for name in WORDS for ground in ("surface", "ground", "raised")]
    pairs += [(name, "wash", 4.5) for name in ("text", "accent")]
    pairs += [(name, "surface", 3.0) for name in LINES]
    pairs += [("on-accent", "accent", 4.5), ("bar-text", "bar-ground", 4.5), ("bar-quiet", "bar-ground", 4.5)]
    pairs += [("bar-mark", "bar-ground", 3.0)]
    faint = [(name, ground, round(contrast(found[name], found[ground]), 2)) for name, ground, least in pairs
             if contrast(found[name], found[ground]) < least]  # fmt: skip
    assert not faint


def test_every_theme_has_its_tokens_and_its_fonts() -> None:
    assert set(re.findall(r'\[data-theme="(\w+)"\] {', SHEET)) == set(NAMES) - {"cockpit"}
    for name in NAMES:
        theme = themes.find(name)
        assert theme.name == name
        assert all((settings.BASE_DIR / "static" / font).is_file() for font in theme.fonts)


def test_nothing_is_fetched_from_elsewhere() -> None:
    for folder in ("static/css", "static/js"):
        for path in (settings.BASE_DIR / folder).iterdir():
            assert not re.search(
                r"(https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)
            ), path
