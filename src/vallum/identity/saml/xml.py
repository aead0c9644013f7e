"""Read XML from strangers: no DOCTYPE, no entities, no network, no instructions, no identifier twice.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from vallum.identity.sso.errors import SignInRefused

__all__ = ["ASSERTION", "DS", "MD", "PROTOCOL", "attribute", "children", "parse", "text_of"]

PROTOCOL: Final = "{urn:oasis:names:tc:SAML:2.0:protocol}"
ASSERTION: Final = "{urn:oasis:names:tc:SAML:2.0:assertion}"
MD: Final = "{urn:oasis:names:tc:SAML:2.0:metadata}"
DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_IDENTIFIERS: Final = ("ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id")


def parse(content: bytes, *, where: str, limit: int = 256 * 1024) -> etree._Element:
    """The root element. Raises: SignInRefused."""
    if len(content) > limit:
        raise _refuse("the answer is too long", where)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise _refuse("the answer is no XML", where) from None
    document = root.getroottree().docinfo
    if document.doctype or document.internalDTD is not None:
        raise _refuse("the answer declares a document type", where)
    seen: set[str] = set()
    for node in root.iter():
        if isinstance(node, etree._Comment):
            continue
        if not isinstance(node.tag, str):
            raise _refuse("the answer holds instructions or entities", where)
        for name in _IDENTIFIERS:
            value = node.get(name)
            if value is not None and value in seen:
                raise _refuse("the answer uses an identifier twice", where)
            seen.update([value] if value is not None else [])
    return root


def children(node: etree._Element, tag: str) -> list[etree._Element]:
    """The children with that tag, and no deeper ones."""
    return [child for child in node if child.tag == tag]


def text_of(node: etree._Element | None) -> str | None:
    """All of an element's text, whatever stands in between; None where there is none.

    >>> text_of(etree.fromstring("<a>marie@example.com<!-- x -->.evil.example</a>"))
    'marie@example.com.evil.example'
    """
    if node is None:
        return None
    return "".join(_texts(node)).strip() or None


def _texts(node: etree._Element) -> Iterator[str]:
    for part in node.itertext(etree.Element):
        yield str(part)


def attribute(node: etree._Element | None, name: str) -> str | None:
    """An attribute, if the element and it are there."""
    return node.get(name) if node is not None else None


def _refuse(what: str, where: str) -> SignInRefused:
    return SignInRefused(what, reason="form", where=where)
