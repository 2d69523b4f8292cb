"""The certificate as a page to print and sign, in Chinese and English side by side."""

from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Template

from reconcile.report.data import share
from reconcile.report.templates import environment

_CALLS = (
    ("calls", "通话", "calls"),
    ("calls_expecting", "应有录音", "must have a recording"),
    ("complete", "完整", "complete"),
    ("partial", "部分", "partial"),
    ("missing", "缺失", "missing"),
    ("excluded", "无需录音", "need none"),
)
_RECORDINGS = (
    ("recordings", "源磁盘", "at the source"),
    ("in_snapshot", "加密快照", "in a snapshot"),
    ("restored", "中心磁盘", "on the central disk"),
    ("published", "对象存储", "in the object store"),
    ("indexed", "可检索", "can be found"),
    ("bytes", "字节", "bytes"),
)


def render_certificate(certified: dict[str, Any]) -> str:
    """The certificate (reconcile.certificate) as one HTML file that needs nothing from outside."""
    zone = ZoneInfo(certified["time_zone"])
    return _template().render(
        c=certified,
        coverage=share(certified["coverage"]),
        target=share(certified["coverage_target"]),
        issued=datetime.fromisoformat(certified["issued_at"]).astimezone(zone).strftime("%Y-%m-%d %H:%M"),
        call_rows=_CALLS,
        recording_rows=_RECORDINGS,
    )


@cache
def _template() -> Template:
    return environment().get_template("certificate.html.j2")
