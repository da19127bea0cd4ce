import os
from pathlib import Path

import pytest

from benchmarks.quality.anytime import AnytimeRuns, Branch, branch
from benchmarks.quality.own_runs import OwnRuns, Pace, last_of_each, run_recipe
from mtkit.config.training import WarmupStableDecay
from mtkit.errors import RecipeError
from mtkit.files import sha256
from mtkit.training.schedule import factor

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "stages.corpus.limit=300",
    "stages.train.model.dim=16",
    "stages.train.model.ffn_dim=32",
    "stages.train.model.heads=2",
    "stages.train.schedule.decay_share=0.5",
    "stages.train.batch_tokens=256",
    "stages.train.validate.pairs=5",
    "stages.translate.beam_size=2",
)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def anytime(work: Path) -> AnytimeRuns:
    return AnytimeRuns("any", ROOT / "recipes" / "reverse.yaml", SMALL, work, ENVIRONMENT)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("updates", [100, 333, 2000])
def test_a_branch_leaves_the_plateau_where_the_schedule_begins_to_fall(share: float, updates: int) -> None:
    planned = branch(updates, share, 10)
    schedule = WarmupStableDecay(warmup_updates=1, decay_share=share)
    assert planned.start % 10 == 0
    assert factor(schedule, planned.start, planned.end) == 1.0
    assert factor(schedule, planned.start + 1, planned.end) < 1.0
    assert abs(planned.end - updates) <= 5 / (1 - share) + 1


def test_a_branch_is_at_least_one_stride_long() -> None:
    assert branch(3, 0.5, 10) == Branch(10, 20)


def test_a_schedule_without_a_plateau_has_no_anytime_curve(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no plateau"):
        next(AnytimeRuns("any", ROOT / "recipes" / "demo-classic.yaml", (), tmp_path, {}).points([1.0]))


@pytest.mark.slow
def test_a_branch_is_the_training_of_its_length_bit_for_bit(tmp_path: Path) -> None:
    runs = anytime(tmp_path)
    runs._paces[runs.identity(None)] = Pace(seconds_per_update=1.0, other_seconds=0.0)
    shorter, longer = runs.points([0.7, 1.4])
    assert (shorter.asked_minutes, longer.asked_minutes) == (0.7, 1.4)
    assert shorter.updates is not None and longer.updates is not None and shorter.updates < longer.updates
    assert shorter.minutes < longer.minutes
    assert set(shorter.scores) == {"bleu", "chrf"}

    direct = tmp_path / "direct"
    ends = (f"until.updates={shorter.updates}", f"validate.every={shorter.updates} updates")
    settings = (f"stages.train.{end}" for end in ends)
    overrides = last_of_each([*runs._overrides(None, longer.updates), *settings])
    run_recipe(runs.path, overrides, "train", direct, ENVIRONMENT)
    branched = runs._folder(1.4, "branch-0.7")
    train = "runs/reverse/train"
    assert not (branched / train / "checkpoints" / "00000005").exists(), "it began on the plateau"
    weights = f"{train}/model/model.safetensors"
    assert sha256(branched / weights) == sha256(direct / weights)


@pytest.mark.slow
def test_a_recipe_is_trained_for_its_time_and_scored(tmp_path: Path) -> None:
    runs = OwnRuns("own", ROOT / "recipes" / "reverse.yaml", SMALL, tmp_path, ENVIRONMENT)
    runs._paces[runs.identity(None)] = Pace(seconds_per_update=0.5, other_seconds=0.0)
    (point,) = runs.points([0.2])
    assert point.updates == 23
    assert point.minutes > 0
    assert point.scores["bleu"] >= 0
    (again,) = OwnRuns("own", runs.path, SMALL, tmp_path, {**ENVIRONMENT, "PATH": ""}).points([0.2])
    assert (again.minutes, again.scores) == (point.minutes, point.scores), "nothing was trained again"
