"""Values and expectations in words: `'eight' (text)`, `a whole number of at least 1`."""

import re
from typing import Any

from mtkit.config.fields import Shape, accepts_text, fields_of, text_rule
from mtkit.config.nearest import nearest
from mtkit.config.nodes import ListNode, MapNode, Node, ScalarNode
from mtkit.config.problems import one_of
from mtkit.config.scalars import scalar_text

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
_MANY = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false values"}
_LONGEST = 60  # characters of a quoted value
_SHOWN_KEYS = 8  # of a mapping that is expected


def found_words(node: Node, shape: Shape | None = None) -> str:
    """What stands there, quoted, with its type where that is what is wrong."""
    if isinstance(node, MapNode):
        return "a mapping" if node.entries else "an empty mapping"
    if isinstance(node, ListNode):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    value = node.value
    if isinstance(value, str):
        short = value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
        return f"'{short}'" + ("" if shape and shape.type is str else " (text)")
    if isinstance(value, bool):
        return f"{scalar_text(value)} (true or false)"
    return scalar_text(value) if value is not None else "null (nothing)"


def expected_words(shape: Shape) -> str:
    """What may stand there."""
    if shape.optional and shape.choices:
        return one_of([*map(scalar_text, shape.choices), "null"])
    others = [*shape.words, *(["null"] if shape.optional else [])]
    return ", or ".join([_required_words(shape), *others])


def _required_words(shape: Shape) -> str:
    if shape.item is not None:
        items = _many(shape.item)
        if shape.one_for_list:
            return f"a list of {items}, or one of them"
        return f"a list of {items}" + (", not empty" if shape.bound("min_length") else "")
    if shape.classes:
        return _mapping_words(shape)
    if shape.choices:
        words = one_of(scalar_text(choice) for choice in shape.choices)
        return words if len(shape.choices) > 1 else f"{words}, the only choice"
    if shape.type is str:
        pattern = shape.bound("pattern")
        return text_rule(shape) or ("text" + (f" matching {pattern}" if pattern else ""))
    return " ".join(filter(None, [_NAMES.get(shape.type or str, "a value"), range_words(shape)]))


def _many(shape: Shape) -> str:
    if shape.classes:
        also_text = any(accepts_text(each) for each in shape.classes.values())
        return "mappings or texts" if also_text else "mappings"
    if shape.choices:
        return one_of(map(str, shape.choices))
    return _MANY.get(shape.type or str, "values")


def _mapping_words(shape: Shape) -> str:
    if "" not in shape.classes:
        return f"a mapping of kind {one_of(shape.classes)}"
    settings_class = shape.classes[""]
    keys = list(fields_of(settings_class))
    shown = ", ".join(keys[:_SHOWN_KEYS]) + (", …" if len(keys) > _SHOWN_KEYS else "")
    words = f"a mapping ({shown})" if keys else "an empty mapping, `{}`"
    return words + (", or text" if accepts_text(settings_class) else "")


def range_words(shape: Shape) -> str:
    """The range of a number: `of at least 1`, `from 0 to 1`; "" where there is none."""
    least, above = shape.bound("ge"), shape.bound("gt")
    most, below = shape.bound("le"), shape.bound("lt")
    if least is not None and most is not None:
        return f"from {_bound(least)} to {_bound(most)}"
    parts = []
    if least is not None:
        parts.append(f"of at least {_bound(least)}")
    if above is not None:
        parts.append(f"above {_bound(above)}")
    if most is not None:
        parts.append(f"at most {_bound(most)}" if parts else f"of at most {_bound(most)}")
    if below is not None:
        parts.append(f"below {_bound(below)}")
    return " and ".join(parts)


def _bound(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def advice_for(node: Node, shape: Shape) -> str:
    """The likeliest remedy for a value that does not fit, or ""."""
    if not isinstance(node, ScalarNode):
        return _structure_advice(node, shape)
    value = node.value
    if shape.item is not None and value is not None:
        return f"Write `[{scalar_text(value)}]`."
    if shape.type is str and not shape.choices and isinstance(value, int | float):
        return "" if text_rule(shape) else f"Put it in quotes: '{scalar_text(value)}'."
    if not isinstance(value, str):
        return ""
    if near := nearest(value, [str(choice) for choice in (*shape.choices, *shape.words)]):
        return f"Did you mean '{near}'?"
    if shape.choices:
        return ""
    return _text_advice(value, shape)


def _text_advice(value: str, shape: Shape) -> str:
    if shape.type is bool:
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower(), value.lower())
        return f"Write `{meant}`, without quotes." if meant in ("true", "false") else ""
    if shape.type in (int, float):
        digits = re.sub(r"(?<=\d)[_,](?=\d{3}(\D|$))", "", value.strip())
        if re.fullmatch(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", digits):
            return f"Write `{digits}`, without " + ("quotes." if digits == value.strip() else "separators.")
    return ""


def _structure_advice(node: Node, shape: Shape) -> str:
    if isinstance(node, MapNode) and shape.item is not None and shape.item.classes:
        return "Write a `-` before each item."
    if isinstance(node, ListNode) and shape.classes:
        return "Write `key: value` lines instead of `-` items."
    return ""
