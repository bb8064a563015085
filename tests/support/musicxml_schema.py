"""The W3C schema of MusicXML 4.0, from the ``musicxml`` package, with the two schemas it imports from the web."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from lxml import etree

_XML = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/XML/1998/namespace">
<xs:attribute name="lang" type="xs:string"/><xs:attribute name="space" type="xs:string"/></xs:schema>"""
_XLINK = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">
<xs:attribute name="href" type="xs:anyURI"/><xs:attribute name="type" type="xs:string"/>
<xs:attribute name="role" type="xs:token"/><xs:attribute name="title" type="xs:token"/>
<xs:attribute name="show" type="xs:string"/><xs:attribute name="actuate" type="xs:string"/></xs:schema>"""


class _Imports(etree.Resolver):
    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:
        return self.resolve_string(_XLINK if "xlink" in system_url else _XML, context)


@lru_cache(maxsize=1)
def schema() -> etree.XMLSchema:
    parser = etree.XMLParser()
    parser.resolvers.add(_Imports())
    text = (files("musicxml") / "generate_classes" / "musicxml_4_0.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text, parser, base_url="file:///musicxml.xsd"))


def check_schema(data: bytes) -> None:
    """Raise AssertionError with the first things that the schema forbids."""
    document = etree.fromstring(data, etree.XMLParser(load_dtd=False, no_network=True))
    if not schema().validate(document):
        raise AssertionError("\n".join(str(error) for error in schema().error_log[:5]))
