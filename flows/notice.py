"""Tell people at once: what Prefect's automations run when a flow fails, a worker dies or a backup never comes."""

from typing import Literal

from prefect import flow, get_run_logger

from blocks.notifier import Notifier
from blocks.saved import load


@flow(name="notice", flow_run_name="notice {business}: {title}")
def notice(
    business: str, title: str, text: str, severity: Literal["critical", "major", "minor", "info"] = "critical"
) -> list[str]:
    """Send a text to every route of the business; one that cannot be delivered is kept and sent again later."""
    notifier = load(Notifier, business)
    told = []
    for delivery in notifier.resend() + notifier.send(title, text, severity):
        outcome = "delivered" if delivery.delivered else f"kept: {delivery.cause}"
        told.append(f"{delivery.route}: {outcome}")
        if not delivery.delivered:
            get_run_logger().error("not delivered by %s, kept to be sent again: %s", delivery.route, delivery.cause)
    return told
