import subprocess
import sys

from mtkit.pipeline.fingerprint import load
from mtkit.pipeline.kinds import KINDS


def test_every_kind_reads_kinds_that_there_are() -> None:
    for name, kind in KINDS.items():
        assert kind.name == name
        assert set(kind.reads.values()) <= KINDS.keys() - {name}


def test_every_kind_has_its_functions() -> None:
    for kind in KINDS.values():
        assert callable(load(kind.function))
        assert not kind.identity or callable(load(kind.identity))


def test_kinds_runner_and_commands_load_no_torch() -> None:
    modules = [
        "pipeline.kinds",
        "pipeline.runner",
        "pipeline.stages",
        "pipeline.status",
        "cli.run",
        "cli.clean",
    ]
    script = "import sys\n" + "".join(f"import mtkit.{name}\n" for name in modules)
    script += "heavy = {'torch', 'sentencepiece', 'sacrebleu', 'polars'} & set(sys.modules)\n"
    script += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", script], check=True)
