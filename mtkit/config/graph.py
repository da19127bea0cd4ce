"""The stages of a recipe: their kinds, what `like` copies, what `from` reads, and their order."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mtkit.config.head import STRUCTURE
from mtkit.config.kind import Kind
from mtkit.config.nearest import did_you_mean
from mtkit.config.nodes import Entry, ListNode, MapNode, Node, Place, ScalarNode, dotted, merge, plain
from mtkit.config.problems import Problem, one_of
from mtkit.config.words import found_words


@dataclass
class Draft:
    """A stage before its settings are checked.

    Attributes:
        name: the key under `stages`.
        key: where that key stands.
        kind: None if it could not be found out.
        node: its settings, with those that `like` brings.
        own: its mapping without what `like` brings.
        from_: where `from` stands and the names it holds with their places; None if it is left out.
        reads: role → name of the stage that fills it.
        read_origins: role → `file:line`, or `default` where `from` does not say.
        kind_origin: where the kind is written, or `default`.
    """

    name: str
    key: Place
    kind: Kind | None
    node: MapNode
    own: MapNode
    from_: list[tuple[str, Place]] | None = None
    reads: dict[str, str] = field(default_factory=dict)
    read_origins: dict[str, str] = field(default_factory=dict)
    kind_origin: str = "default"


def draft_stages(stages: MapNode, kinds: Mapping[str, Kind], problems: list[Problem]) -> dict[str, Draft]:
    """Every stage with its kind and what it reads, each after what it reads; problems are collected."""
    drafter = _Drafter(stages, kinds, problems)
    drafts = {name: draft for name in stages.entries if (draft := drafter.draft(name)) is not None}
    broken = {name for name in stages.entries if name not in drafts or drafts[name].kind is None}
    for draft in drafts.values():
        _connect(draft, drafts, broken, problems)
    return _ordered(drafts, problems)


class _Drafter:
    """Finds out each stage's kind and settings, following `like`."""

    def __init__(self, stages: MapNode, kinds: Mapping[str, Kind], problems: list[Problem]) -> None:
        self._stages, self._kinds, self._problems = stages, kinds, problems
        self._done: dict[str, Draft | None] = {}
        self._merged: dict[str, MapNode] = {}  # each stage's mapping with what `like` brings
        self._under_way: list[str] = []

    def draft(self, name: str) -> Draft | None:
        if name not in self._done:
            self._under_way.append(name)
            self._done[name] = self._fresh(name)
            self._under_way.pop()
        return self._done[name]

    def _report(self, place: Place, path: str, found: str, expected: str = "", advice: str = "") -> None:
        self._problems.append(Problem(place, f"stages.{path}", found, expected, advice))

    def _fresh(self, name: str) -> Draft | None:
        entry = self._stages.entries[name]
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            self._report(entry.key, name, f"the name '{name}'", "letters, digits, `-` and `_`")
        if not isinstance(entry.value, MapNode):
            self._report(
                entry.key, name, f"found {found_words(entry.value)}", "a mapping of settings",
                f"Write `{name}: {{}}` for a stage that leaves every setting at its default.",
            )  # fmt: skip
            return None
        node, model = self._with_like(name, entry.value)
        self._merged[name] = node
        kind = self._kind(name, entry, node, model)
        origin = kind_node.place.label if (kind_node := node.get("kind")) is not None else "default"
        names = _from_names(node, name, self._problems)
        settings = node.without(*STRUCTURE)
        return Draft(name, entry.key, kind, settings, entry.value, names, kind_origin=origin)

    def _with_like(self, name: str, own: MapNode) -> tuple[MapNode, Draft | None]:
        """The stage's mapping laid over that of the stage it is like, and that stage."""
        like = own.get("like")
        if like is None:
            return own, None
        key = own.entries["like"].key
        path = f"{name}.like"
        other = like.value if isinstance(like, ScalarNode) else None
        if not isinstance(other, str):
            self._report(like.place, path, f"found {found_words(like)}", "the name of a stage")
        elif other not in self._stages.entries:
            advice = did_you_mean(other, self._stages.entries) or _known(self._stages.entries)
            self._report(like.place, path, f"no stage '{other}'", advice=advice)
        elif other in self._under_way:
            circle = [*self._under_way[self._under_way.index(other) :], other]
            self._report(
                key.to(like.place), path, f"a circle: {' → '.join(circle)}", "a stage that stands alone"
            )
        else:
            model = self.draft(other)
            if model is not None and self._agrees(name, own, model):
                merged = merge(self._merged[other], own)
                assert isinstance(merged, MapNode)
                return merged, model
        return own, None

    def _agrees(self, name: str, own: MapNode, model: Draft) -> bool:
        """False, with a problem noted, where a stage names another kind than the stage it is like."""
        given = own.get("kind")
        if given is None or model.kind is None or plain(given) in (model.kind.name, None):
            return True
        self._report(
            given.place, f"{name}.kind",
            f"`like: {model.name}` has no effect: that stage is of kind {model.kind.name}",
            "", "Remove `like` or `kind`.",
        )  # fmt: skip
        return False

    def _kind(self, name: str, entry: Entry, node: MapNode, model: Draft | None) -> Kind | None:
        given = node.get("kind")
        if given is not None:
            kind = self._named_kind(name, given)
        elif model is not None:
            kind = model.kind
        else:
            kind = self._kind_by_name(name, entry)
        if kind and name in self._kinds and kind.name != name:
            self._report(
                entry.key, name, f"a stage named '{name}' of kind {kind.name}", "",
                f"Rename it: stages that read a {name} stage look for that name first.",
            )  # fmt: skip
        return kind

    def _named_kind(self, name: str, given: Node) -> Kind | None:
        word = given.value if isinstance(given, ScalarNode) else None
        if isinstance(word, str) and word in self._kinds:
            return self._kinds[word]
        self._report(
            given.place, f"{name}.kind", f"found {found_words(given)}", f"a kind: {one_of(self._kinds)}",
            did_you_mean(word, self._kinds),
        )  # fmt: skip
        return None

    def _kind_by_name(self, name: str, entry: Entry) -> Kind | None:
        if name in self._kinds:
            return self._kinds[name]
        if isinstance(entry.value, MapNode) and "like" in entry.value.entries:
            return None  # its `like` has been reported
        self._report(
            entry.key, name, "no kind of this name, and no `kind` or `like` that says what it is",
            f"one of {one_of(self._kinds)}", did_you_mean(name, self._kinds) or "Add `kind: …` or `like: …`.",
        )  # fmt: skip
        return None


def _known(names: Mapping[str, object]) -> str:
    return f"The stages are {', '.join(names)}."


def _from_names(node: MapNode, name: str, problems: list[Problem]) -> list[tuple[str, Place]] | None:
    given = node.get("from")
    if given is None:
        return None
    items = given.items if isinstance(given, ListNode) else (given,)
    names = [(item.value, item.place) for item in items if isinstance(item, ScalarNode)]
    texts = [(value, place) for value, place in names if isinstance(value, str)]
    if len(texts) < len(items) or not items:
        problems.append(
            Problem(
                node.entries["from"].key.to(given.place),
                f"stages.{name}.from",
                f"found {found_words(given)}",
                "the name of a stage, or a list of names",
            )
        )
    return texts


def _connect(draft: Draft, drafts: dict[str, Draft], broken: set[str], problems: list[Problem]) -> None:
    """Match stages to the roles of what is read: first those in `from`, then those named as their kinds."""
    kind = draft.kind
    if kind is None:
        return
    for name, place in draft.from_ or []:
        if name in broken:
            continue
        if problem := _connect_named(draft, kind, name, place, drafts):
            problems.append(replace(problem, path=f"stages.{draft.name}.from"))
    if any(name in broken or name not in drafts for name, _ in draft.from_ or []):
        return  # what is left open is the fault of a problem already told
    for role, wanted in kind.reads.items():
        if role not in draft.reads and wanted not in broken:
            _connect_default(draft, role, wanted, drafts, problems)


def _connect_named(
    draft: Draft, kind: Kind, name: str, place: Place, drafts: dict[str, Draft]
) -> Problem | None:
    if not kind.reads:
        return Problem(
            place, "", f"`from` has no effect: a {kind.name} stage reads no other stage", "", "Remove it."
        )
    if name not in drafts:
        return Problem(place, "", f"no stage '{name}'", "", did_you_mean(name, drafts) or _known(drafts))
    if name == draft.name:
        return Problem(place, "", "the stage reads itself", f"another stage than '{name}'")
    other = drafts[name].kind
    roles = [role for role, wanted in kind.reads.items() if other and wanted == other.name]
    if not roles:
        kinds = " and ".join(dict.fromkeys(kind.reads.values()))
        return Problem(
            place,
            "",
            f"'{name}' is of kind {other.name if other else '?'}",
            f"kinds that {kind.name} reads: {kinds}",
        )
    free = [role for role in roles if role not in draft.reads]
    if not free:
        first = draft.reads[roles[0]]
        return Problem(place, "", f"'{first}' is already read as the {roles[0]}", "one stage for each role")
    draft.reads[free[0]] = name
    draft.read_origins[free[0]] = place.label
    return None


def _connect_default(
    draft: Draft, role: str, wanted: str, drafts: dict[str, Draft], problems: list[Problem]
) -> None:
    if wanted in drafts and wanted != draft.name:
        draft.reads[role] = wanted
        draft.read_origins[role] = "default"
        return
    candidates = [
        d.name for d in drafts.values() if d.kind and d.kind.name == wanted and d.name != draft.name
    ]
    assert draft.kind is not None
    found = f"a {draft.kind.name} stage reads a {wanted} stage, and none is named '{wanted}'"
    if candidates:
        advice = f"Add `from: {candidates[0]}`; candidates: {', '.join(candidates)}."
    else:
        advice = f"Add a stage `{wanted}:`."
    problems.append(Problem(draft.key, f"stages.{draft.name}", found, "", advice))


def _ordered(drafts: dict[str, Draft], problems: list[Problem]) -> dict[str, Draft]:
    """Every stage after those it reads, otherwise in the order of the recipe."""
    ordered: dict[str, Draft] = {}
    told: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circle = trail[trail.index(name) :]
            if not told & set(circle):
                told.update(circle)
                problems.append(_circle(drafts[circle[-1]], (*circle, name)))
            return
        if name not in ordered:
            for other in drafts[name].reads.values():
                visit(other, (*trail, name))
            ordered[name] = drafts[name]

    for name in drafts:
        visit(name, ())
    return ordered


def _circle(draft: Draft, circle: tuple[str, ...]) -> Problem:
    place = next((place for name, place in draft.from_ or [] if name == circle[-1]), draft.key)
    return Problem(
        place,
        dotted(("stages", draft.name, "from")),
        f"stages read each other in a circle: {' → '.join(circle)}",
        "a stage that reads no later one",
        "Change one `from`.",
    )
