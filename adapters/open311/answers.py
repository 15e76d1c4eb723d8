"""GeoReport v2's answers, in XML and JSON: one tree for both, so that neither says more than the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from adapters.open311.projection import PUBLIC, Report, Service
from exchange.text import Text

#: The suffix of a resource, and its content type.
FORMATS: Mapping[str, str] = {
    "xml": "text/xml; charset=utf-8",
    "json": "application/json; charset=utf-8",
}
SPECIFICATION = "http://wiki.open311.org/GeoReport_v2"
#: When what this program publishes last changed its form.
CHANGESET = "2026-11-29T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """An answer: *root* and *row* name XML's elements; JSON is the list of rows, or the only one."""

    root: str
    row: str
    rows: Sequence[Mapping[str, object]]
    #: JSON has the object itself instead of a list, XML its fields directly below the root.
    alone: bool = False


def services_tree(services: Iterable[Service]) -> Tree:
    """Return GET services."""
    rows = [
        {
            "service_code": one.code,
            "service_name": one.name,
            "metadata": False,
            "type": "realtime",
            "group": one.group,
        }
        for one in services
    ]
    return Tree(root="services", row="service", rows=rows)


def definition_tree(service: Service) -> Tree:
    """Return GET service definition: no matter here has attributes, since nothing can be reported."""
    row = {"service_code": service.code, "attributes": []}
    return Tree(root="service_definition", row="", rows=[row], alone=True)


def requests_tree(reports: Iterable[Report]) -> Tree:
    """Return GET service requests: of each report what `PUBLIC` lists."""
    rows = [{name: take(one) for name, take, _ in PUBLIC} for one in reports]
    return Tree(root="service_requests", row="request", rows=rows)


def errors_tree(status: int, why: Text) -> Tree:
    """Return the spec's errors, in both languages."""
    return Tree(
        root="errors", row="error", rows=[{"code": status, "description": f"{why.en} {why.zh}"}]
    )


def discovery_tree(address: str, contact: str) -> Tree:
    """Return the discovery file."""
    endpoint = {
        "specification": SPECIFICATION,
        "url": address,
        "changeset": CHANGESET,
        "type": "production",
        "formats": [kind.partition(";")[0] for kind in FORMATS.values()],
    }
    row = {
        "changeset": CHANGESET,
        "contact": contact,
        "key_service": "",
        "endpoints": [endpoint],
    }
    return Tree(root="discovery", row="", rows=[row], alone=True)


def written(tree: Tree, form: str) -> bytes:
    """Return *tree* as ``xml`` or ``json``."""
    if form == "json":
        whole: object = tree.rows[0] if tree.alone else list(tree.rows)
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    root = ET.Element(tree.root)
    for row in tree.rows:
        _fill(root if tree.alone else ET.SubElement(root, tree.row), row)
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text


def _fill(element: ET.Element, row: Mapping[str, object]) -> None:
    for name, value in row.items():
        below = ET.SubElement(element, name)
        if isinstance(value, list):
            for one in value:
                inner = ET.SubElement(below, name.removesuffix("s"))
                if isinstance(one, Mapping):
                    _fill(inner, one)
                else:
                    inner.text = str(one)
        elif isinstance(value, bool):
            below.text = "true" if value else "false"
        else:
            below.text = str(value)
