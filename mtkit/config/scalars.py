"""Scalars of YAML 1.2's core schema: text to value and value to text.

Only `true` and `false` are booleans, `no` is Norwegian, `7e-4` is a number, `1_000` is text.
Source: YAML 1.2.2, section 10.3.2.
"""

import math
import re
from typing import Any

from mtkit.config.nodes import Plain

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_MOST_DIGITS = 400  # a longer whole number is text: Python refuses to convert very long ones

# plain where it cannot be mistaken for anything else; everything else is quoted
_SAFE = re.compile(r"[\w./+(][\w./+()<>= -]*", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def scalar_value(text: str) -> Plain:
    """The value of an unquoted scalar."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    if len(text) <= _MOST_DIGITS:
        if _DECIMAL.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEXADECIMAL.fullmatch(text):
            return int(text[2:], 16)
        if _FLOAT.fullmatch(text):
            return float(text)
    if match := _INFINITE.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return math.nan if _NAN.fullmatch(text) else None


def scalar_text(value: Plain) -> str:
    """The YAML text of a value; reading it gives the value back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, int):
        return str(value)
    safe = _SAFE.fullmatch(value) and not value.endswith(" ")
    return value if safe and isinstance(scalar_value(value), str) else _quoted(value)


def flow_text(value: Any) -> str:
    """A list of scalars, an empty mapping or a scalar as YAML on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(scalar_text(item) for item in value) + "]"
    return "{}" if isinstance(value, dict) else scalar_text(value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
