"""Language codes such as `en`, `pt_BR` and `zh-Hans`: taken apart, not looked up."""

import re


def primary_subtag(code: str) -> str:
    """The language alone, in lower case: `zh` of `zh_TW`, `zh-Hant` and `ZH`."""
    return re.split("[-_]", code)[0].lower()
