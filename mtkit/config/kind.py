"""What a recipe needs to know of a kind of stage; `pipeline/kinds.py` says which kinds there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtkit.config.settings import Settings


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    Attributes:
        name: as in `kind:`, and as the stage that bears it by default.
        version: raised by whoever changes what the kind writes; part of the fingerprint.
        settings: the class of its settings.
        reads: role → kind of the stage that fills it, e.g. {"corpus": "corpus"}.
        uses_seed: True if the recipe's seed changes the result.
        function: `module:function` that runs it, imported only when it runs.
        purpose: one line for people.
        identity: `module:function` that hashes what it reads beside its settings and stages; empty: nothing.
        uses_languages: True if the recipe's languages are part of the result.
        forecast: `module:function` that says in a line what running it would take; empty: nothing does.
        check: `module:function` that is given settings, recipe and run context, and refuses what this machine
            cannot do, before anything is run.
        resumes: True if it goes on in a folder it left half-done; others start anew.
    """

    name: str
    version: int
    settings: type[Settings]
    function: str
    purpose: str
    reads: Mapping[str, str] = field(default_factory=dict)
    uses_seed: bool = False
    identity: str = ""
    uses_languages: bool = False
    forecast: str = ""
    check: str = ""
    resumes: bool = False
