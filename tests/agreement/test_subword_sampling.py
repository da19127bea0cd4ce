import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtkit.config.subword import SubwordSettings
from mtkit.log import RunContext
from mtkit.subword.learn import SubwordInputs, learn_subword

SAMPLE = """
import json
import sys
from pathlib import Path
from mtkit.config.training import SubwordSampling
from mtkit.subword.codec import Subword
codec = Subword.load(Path(sys.argv[1]))
lines = ["the small house is older than the tree"] * 3
print(json.dumps(codec.sample(lines, "source", SubwordSampling(), 5)))
"""


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_two_processes_sample_the_same_segmentations(tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "corpus").mkdir()
    for side in ("source", "target"):
        lines = "".join(
            f"the small tree {number} is older than a house by the sea\n" for number in range(300)
        )
        (tmp_path / "corpus" / f"train.{side}").write_text(lines, encoding="utf-8")
    settings = SubwordSettings.model_validate({"algorithm": algorithm, "pieces": 290})
    out = tmp_path / "subword"
    out.mkdir()
    learn_subword(settings, SubwordInputs(tmp_path / "corpus"), out, RunContext(quiet=True))
    found = [
        subprocess.run(
            [sys.executable, "-c", SAMPLE, str(out)], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert found[0] == found[1]
    rows = json.loads(found[0])
    assert len({tuple(row) for row in rows}) > 1, "nothing was sampled"
