"""The themes: a name picks a token set of static/css/themes.css, and an unknown name the neutral one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """What a page must know of a theme before its stylesheet is read; all else is in the tokens."""

    name: str
    fonts: tuple[str, ...]  # fetched with the page, so that words do not move when they arrive
    light: str  # the colour of a phone's frame around the page
    dark: str


_INTER, _MONO, _SERIF = "fonts/inter.woff2", "fonts/jetbrains-mono.woff2", "fonts/source-serif-4-600.woff2"
NEUTRAL = Theme("cockpit", (_INTER,), "#ffffff", "#12161d")
_THEMES = {
    theme.name: theme
    for theme in (
        NEUTRAL,
        Theme("swaggystacks", (_INTER, _MONO), "#0c0e0a", "#0c0e0a"),
        Theme("scientia_capital", (_INTER, _SERIF), "#faf8f3", "#0c1524"),
    )
}


def find(name: str) -> Theme:
    return _THEMES.get(name, NEUTRAL)
