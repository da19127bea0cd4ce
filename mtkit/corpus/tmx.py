"""TMX (Translation Memory eXchange 1.4b): units that hold both languages, streamed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from mtkit.config.languages import primary_subtag
from mtkit.corpus.pair import Pair, empty
from mtkit.errors import DataError

LANGUAGE_KEYS = ("{http://www.w3.org/XML/1998/namespace}lang", "lang")
# what stands inside these is formatting code of the tool that wrote the file, not text (section 3.2)
CODE_ELEMENTS = {"bpt", "ept", "it", "ph", "ut"}


def read_tmx(
    open_stream: Callable[[], AbstractContextManager[BinaryIO]], name: str, source: str, target: str
) -> Iterator[Pair]:
    """Stream the pairs of a TMX; the first variant of each language counts.

    Languages are matched by their primary subtag: `en` finds `en-US` and `EN`.

    Raises:
        DataError: no well-formed XML, an entity or external reference in it, or no pair.
    """
    count = 0
    try:
        with open_stream() as stream:
            for unit in _units(stream):
                variants = _variants(unit)
                pair = _of(variants, source), _of(variants, target)
                if pair[0] is not None and pair[1] is not None:
                    count += 1
                    yield Pair(pair[0], pair[1])
    except ParseError as error:
        raise DataError(
            f"not well-formed XML: {error}",
            where=f"{name}:{error.position[0]}",
            expected="a TMX file",
            advice="Export it again, or repair this line.",
        ) from error
    except DefusedXmlException as error:
        raise DataError(
            "the file defines XML entities or fetches a document type, which no translation memory needs",
            where=name,
            expected="a TMX file without a document type of its own",
            advice="Remove the DOCTYPE with its entities.",
        ) from error
    if count == 0:
        raise empty(f"{name} ({source}-{target})")


def _units(stream: BinaryIO) -> Iterator[Element]:
    """Each `tu` element; what was read is forgotten, so memory stays flat."""
    body: Any = None
    for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=False):
        tag = _local(element)
        if event == "start" and tag == "body":
            body = element
        elif event == "end" and tag == "tu":
            yield element
            if body is not None:
                body.clear()


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _variants(unit: Element) -> list[tuple[str, str]]:
    """(language, text) of each variant, in the order of the file."""
    found = []
    for variant in unit:
        if _local(variant) != "tuv":
            continue
        language = next((value for key in LANGUAGE_KEYS if (value := variant.get(key))), "")
        segment = next((child for child in variant if _local(child) == "seg"), None)
        if language and segment is not None:
            found.append((language, _text(segment)))
    return found


def _text(segment: Element) -> str:
    """The text of a segment without formatting codes."""
    parts = [segment.text or ""]
    for child in segment:
        if _local(child) not in CODE_ELEMENTS:
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _of(variants: list[tuple[str, str]], language: str) -> str | None:
    """The text in a language: the very code if it is there, else the first with its primary subtag."""
    exact = [text for code, text in variants if code.lower().replace("_", "-") == language.lower()]
    near = [text for code, text in variants if primary_subtag(code) == primary_subtag(language)]
    return next(iter(exact + near), None)
