from mtkit.config.nearest import did_you_mean
from mtkit.config.nodes import Place, Text
from mtkit.config.problems import Problem, RecipeProblemsError, excerpt, one_of


def place(content: str, culprit: str, name: str = "r.yaml") -> Place:
    start = content.index(culprit)
    return Place(Text(name, content), start, start + len(culprit))


def test_a_problem_has_place_path_line_carets_and_advice() -> None:
    problem = Problem(
        place("a:\n    beam_sise: 5\n", "beam_sise"), "a.beam_sise", "no such setting", "", "Go."
    )
    assert str(problem) == (
        "r.yaml:2: a.beam_sise: no such setting\n    beam_sise: 5\n    ^^^^^^^^^\n    Go."
    )


def test_the_last_line_counts_the_problems() -> None:
    problem = Problem(place("a: 1", "a"), "a", "wrong")
    other = Problem(place("b: 1", "b"), "b", "wrong")
    assert str(RecipeProblemsError([problem], "r.yaml")).endswith("\n1 problem in r.yaml. Nothing was run.")
    assert str(RecipeProblemsError([problem, other], "r.yaml")).endswith(
        "\n2 problems in r.yaml. Nothing was run."
    )


def test_the_recipe_comes_before_its_bases_and_each_in_order_of_lines() -> None:
    text, base = Text("r.yaml", "x\ny\n"), Text("a-base.yaml", "z\n")
    problems = [
        Problem(Place(base, 0, 1), "", "third"),
        Problem(Place(text, 2, 3), "", "second"),
        Problem(Place(text, 0, 1), "", "first"),
    ]
    assert [p.found for p in RecipeProblemsError(problems, "r.yaml").problems] == ["first", "second", "third"]


def test_one_place_says_one_thing_once() -> None:
    same = place("a: 1", "a")
    problems = [Problem(same, "train.a", "wrong"), Problem(same, "student.a", "wrong")]
    assert len(RecipeProblemsError(problems, "r.yaml").problems) == 1


def test_a_long_line_is_cut_around_the_culprit() -> None:
    line, carets = excerpt(place("x" * 300 + " culprit " + "y" * 300, "culprit"))
    assert len(line) <= 102
    assert line[carets.index("^") : carets.rindex("^") + 1] == "culprit"


def test_carets_stand_under_wide_and_combining_characters() -> None:
    line, carets = excerpt(place("  日本e\u0301: culprit", "culprit"))
    assert line == "日本e\u0301: culprit"
    assert carets == " " * 7 + "^" * 7


def test_carets_end_with_the_line() -> None:
    text = Text("r.yaml", "abc: [1,\n  2]\n")
    assert excerpt(Place(text, 5, 13)) == ["abc: [1,", "     ^^^"]


def test_only_near_words_are_suggested() -> None:
    assert did_you_mean("beam-sise", ["n_best", "beam_size"]) == "Did you mean 'beam_size'?"
    assert did_you_mean("zzz", ["n_best", "beam_size"]) == ""


def test_alternatives_are_joined_by_or() -> None:
    assert (one_of(["a"]), one_of(["a", "b", "c"])) == ("a", "a, b or c")
