"""The law of settings classes: plain Python, judged by pydantic where they have not been judged before."""

import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from mtkit.config.judging import ValidationError, misfits
from mtkit.config.recipe import read_recipe
from mtkit.config.rules import AfterValidator, Field
from mtkit.config.search import Sampling, SearchSettings, TranslateSettings
from mtkit.config.settings import Settings
from mtkit.config.values import AsList
from mtkit.pipeline.kinds import KINDS

RECIPES = sorted((Path(__file__).resolve().parents[3] / "recipes").glob("*.yaml"))


def upper(text: str) -> str:
    if not text.isupper():
        raise ValueError("expected capitals")
    return text


class Round(Settings):
    kind: Literal["round"] = "round"
    radius: float = Field(gt=0)


class Square(Settings):
    kind: Literal["square"] = "square"
    side: int = Field(default=2, ge=1, description="of four")


class Shapes(Settings):
    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"names"})

    first: Annotated[Round | Square, Field(discriminator="kind")] = Field(default_factory=Square)
    others: list[Annotated[Round | Square, Field(discriminator="kind")]] = Field(default_factory=list)
    names: Annotated[list[str], AsList] = Field(default=[], alias="called")
    mark: Annotated[str, AfterValidator(upper)] | None = None
    sizes: dict[str, float] = Field(default_factory=dict)
    path: Path | None = None


FULL: dict[str, Any] = {
    "first": {"kind": "round", "radius": 0.5},
    "others": [{"kind": "square"}, {"kind": "round", "radius": 2.0}],
    "called": "a",
    "mark": "AB",
    "sizes": {"kind": 1.0},
}


def test_values_become_what_their_types_say() -> None:
    made = Shapes.model_validate(FULL)
    assert made.first == Round(radius=0.5)
    assert made.others == [Square(), Round(radius=2.0)]
    assert (made.names, made.mark, made.sizes) == (["a"], "AB", {"kind": 1.0})
    assert made.model_fields_set == {"first", "others", "names", "mark", "sizes"}
    assert made.others[0].model_fields_set == {"kind"}
    assert Shapes.model_validate(made) is made
    assert Shapes(first=made.first).first is made.first


def test_every_problem_is_told_with_its_path() -> None:
    wrong: dict[str, Any] = {
        "first": {"kind": "round", "radius": -1.0},
        "others": [{"kind": "oval"}],
        "mark": "ab",
        "sizes": {"x": "1"},
        "path": 3,
        "more": 1,
    }
    with pytest.raises(ValidationError) as caught:
        Shapes(**wrong)
    assert misfits(caught.value) == ["first.round.radius", "others.0", "mark", "sizes.x", "path", "more"]
    with pytest.raises(ValueError, match="Field required"):
        Round(**{})
    with pytest.raises(ValueError, match="Field required"):
        Round.model_construct()
    with pytest.raises(ValueError, match="finite"):
        Round(radius=float("inf"))
    assert misfits(ValueError("of somebody else")) == []


def test_an_object_cannot_be_changed_and_shares_nothing_with_another() -> None:
    one, other = Shapes(), Shapes()
    with pytest.raises(AttributeError, match="frozen"):
        setattr(one, "mark", "AB")  # noqa: B010 - a type checker refuses the short way
    with pytest.raises(AttributeError, match="frozen"):
        del one.mark
    one.names.append("x")
    one.sizes["x"] = 1.0
    assert (other.names, other.sizes, Shapes().names) == ([], {}, [])
    assert one != other != Round(radius=1.0)
    assert not hasattr(Shapes, "mark")


def test_copies_are_equal_and_know_what_was_given() -> None:
    made = Shapes.model_validate(FULL)
    for copy in (pickle.loads(pickle.dumps(made)), deepcopy(made)):
        assert copy == made
        assert copy.model_fields_set == made.model_fields_set
    changed = Shapes().model_copy(update={"mark": "AB"})
    assert (changed.mark, changed.first) == ("AB", Square())
    assert changed.model_fields_set == {"mark"}
    assert "mark='AB'" in repr(changed)


def test_plain_values_are_those_it_was_made_of() -> None:
    made = Shapes.model_validate({**FULL, "path": Path("a")})
    plain = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert plain == {**FULL, "called": ["a"], "path": "a"}
    assert made.model_dump(include={"mark", "path"}) == {"mark": "AB", "path": Path("a")}
    assert made.model_dump(exclude={"others", "names", "sizes"}).keys() == {"first", "mark", "path"}
    assert made.model_dump()["others"][0] == {"kind": "square", "side": 2}


def test_what_was_judged_before_is_restored_without_judging_it_again() -> None:
    made = Shapes.model_validate(FULL)
    plain = made.model_dump(mode="json", by_alias=True)
    again = Shapes.restored(plain)
    assert again == made
    assert Shapes.restored({}) == Shapes()
    assert Shapes.restored({"first": None}).first is None  # it is taken at its word
    for unknown in ({"more": 1}, {"first": {"kind": "round"}}, "text"):  # a class that has changed since
        with pytest.raises(ValidationError):
            Shapes.restored(unknown)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_settings_of_every_kind_can_be_restored(path: Path) -> None:
    stages = read_recipe(path, KINDS).stages
    assert len(stages) > 3
    for stage in stages.values():
        plain = stage.settings.model_dump(mode="json", by_alias=True)
        assert type(stage.settings).restored(plain) == stage.settings == type(stage.settings)(**plain)


def test_a_subclass_has_the_fields_of_its_base_and_is_taken_in_its_place() -> None:
    assert [*SearchSettings.model_fields, "split", "batch_tokens"] == list(TranslateSettings.model_fields)
    made = TranslateSettings(beam_size=3)
    assert SearchSettings.model_validate(made) is made
    assert made.search == SearchSettings(beam_size=3)
    assert made != made.search


def test_pydantic_is_loaded_where_something_is_judged_and_not_before() -> None:
    code = f"""
import sys
from mtkit.config.search import Sampling, SearchSettings
changed = SearchSettings().model_copy(update={{"beam_size": 3}})
assert SearchSettings.restored({{"sampling": {{"top_k": 3}}}}).sampling.top_k == 3
assert not list(changed.findings()) and changed.written()["beam_size"] == 3
assert "pydantic" not in sys.modules
assert SearchSettings(sampling={Sampling(top_k=3).model_dump()}).sampling.top_k == 3
assert "pydantic" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
