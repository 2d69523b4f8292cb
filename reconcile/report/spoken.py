"""Texts in a page: in both languages, of which it shows one, and masked, with places where they may break."""

from collections.abc import Callable

from markupsafe import Markup, escape

from reconcile.report.masking import masked
from reconcile.report.messages import LANGUAGES, Language


def both(make: Callable[[Language], str]) -> Markup:
    """The text in both languages, of which the page shows one."""
    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format("zh-CN" if spoken == "zh" else "en", _unbroken(make(spoken)))
        for spoken in LANGUAGES
    )


def _unbroken(text: str) -> str:
    """With the sign of a percentage never alone on the next line."""
    return text.replace(" %", "\xa0%")


def breakable(text: object) -> Markup:
    """Masked, and with places where a long path may break."""
    whole = str(escape(masked(str(text))))
    return Markup(whole.replace("/", "/<wbr>").replace("_", "_<wbr>"))  # noqa: S704  # escaped in the line above
