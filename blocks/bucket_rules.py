"""Lifecycle and notification rules of a bucket: ours beside those of other people, which stay as they are.

A rule of ours has an id that begins with `voxkeep-`. Rules are XML elements, so what is not understood here survives.
"""

from collections.abc import Callable, Iterable
from typing import Any
from xml.etree import ElementTree as ET

from blocks.step import Action

OURS = "voxkeep-"
_PARTS_DAYS = 7
# MinIO drops it, because it clears unfinished uploads away by itself after a day.
_MAY_BE_DROPPED = "AbortIncompleteMultipartUpload"


def cleaning_rule() -> ET.Element:
    """Clear away unfinished uploads, and marks of deletion below which no version is left; never an object."""
    rule = _lifecycle_rule("cleaning", "")
    ET.SubElement(ET.SubElement(rule, "Expiration"), "ExpiredObjectDeleteMarker").text = "true"
    ET.SubElement(ET.SubElement(rule, _MAY_BE_DROPPED), "DaysAfterInitiation").text = str(_PARTS_DAYS)
    return rule


def locks_rule(site: str, year: int) -> ET.Element:
    """Forget restic's deleted locks after a day; every run makes some, and a versioned bucket would keep them all."""
    rule = _lifecycle_rule(f"locks-{site}-{year}", f"restic/{site}/{year}/locks/")
    ET.SubElement(ET.SubElement(rule, "NoncurrentVersionExpiration"), "NoncurrentDays").text = "1"
    return rule


def snapshots_rule(site: str, year: int, target: str) -> ET.Element:
    """Tell the web hook of new snapshots of one repository."""
    rule = ET.Element("QueueConfiguration")
    ET.SubElement(rule, "Id").text = f"{OURS}snapshots-{site}-{year}"
    ET.SubElement(rule, "Queue").text = target
    ET.SubElement(rule, "Event").text = "s3:ObjectCreated:*"
    condition = ET.SubElement(ET.SubElement(ET.SubElement(rule, "Filter"), "S3Key"), "FilterRule")
    ET.SubElement(condition, "Name").text = "prefix"
    ET.SubElement(condition, "Value").text = f"restic/{site}/{year}/snapshots/"
    return rule


def merged(
    there: Iterable[ET.Element], wanted: list[ET.Element], stays: Callable[[str], bool]
) -> tuple[Action, list[ET.Element]]:
    """What is to be done to the rules that are `there`, and the rules afterwards.

    Other people's rules stay; rules of ours that are not wanted only where `stays` says so of their id.
    """
    wanted_ids = {_id(rule) for rule in wanted}
    theirs, ours = [], {}
    for rule in there:
        identity = _id(rule)
        if identity.startswith(OURS) and (identity in wanted_ids or not stays(identity)):
            ours[identity] = rule
        else:
            theirs.append(rule)
    same = ours.keys() == wanted_ids and all(_fits(ours[_id(rule)], rule) for rule in wanted)
    return "unchanged" if same else "change" if ours else "create", [*theirs, *wanted]


def _lifecycle_rule(name: str, prefix: str) -> ET.Element:
    rule = ET.Element("Rule")
    ET.SubElement(rule, "ID").text = OURS + name
    ET.SubElement(rule, "Status").text = "Enabled"
    ET.SubElement(ET.SubElement(rule, "Filter"), "Prefix").text = prefix
    return rule


def _id(rule: ET.Element) -> str:
    return rule.findtext("ID") or rule.findtext("Id") or ""


def _fits(there: ET.Element, wanted: ET.Element) -> bool:
    return _shape(there) == _shape(wanted)


def _shape(element: ET.Element) -> tuple[Any, ...]:
    """What an element says, whatever the order of its parts."""
    parts = sorted(_shape(part) for part in element if part.tag != _MAY_BE_DROPPED)
    return element.tag, (element.text or "").strip(), tuple(parts)
