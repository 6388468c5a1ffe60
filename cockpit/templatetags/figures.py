"""What the panel templates draw again and again: a figure or its absence, a change, a chart, a label of origin."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cockpit.dashboard import marks, plots
from cockpit.dashboard.charts import Chart
from cockpit.dashboard.marks import History
from cockpit.dashboard.words import Change

register = template.Library()
_NONE = '<span class="none" title="{0}"><span aria-hidden="true">–</span><span class="unseen">{0}</span></span>'


@register.filter
def shown(value: str | None, title: str = "no data") -> str | SafeString:
    """A figure, or an en dash that says why there is none: never a zero that was not measured."""
    if value is not None:
        return value
    return format_html(_NONE, title)


@register.inclusion_tag("dashboard/parts/change.html")
def change(value: Change | None, against: str = "", *, spoken: bool = False) -> dict[str, object]:
    """A figure's change: short beside an arrow, or `spoken` in words."""
    return {"change": value, "against": against, "spoken": spoken}


@register.inclusion_tag("dashboard/parts/chart.html", takes_context=True)
def chart(context: Any, value: Chart | None, name: str, kind: str = "lines") -> dict[str, object]:
    """`name` is the chart's id on the page; `kind` picks its size and colours in the stylesheet.

    The page's `history`, where it has one, is marked along the time axis.
    """
    if value is None:
        return {"chart": None}
    marked = marks.place(value.steps, context.get("history") or History())
    return {
        "chart": marks.tabled(value, marked),
        "name": name,
        "kind": kind,
        "marks": marked,
        "plot": plots.text(value, marked),
    }


@register.inclusion_tag("dashboard/parts/source.html")
def source(value: str) -> dict[str, object]:
    return {"source": value}
