"""Every message beyond those about recipes, as a user reads it: bad data, bad models, a machine in the way.

A scenario is a command and what was done to a sound folder before it. `errors/NAME.txt` is the command, its
exit code and the message; what differs from run to run stands there in capitals.
"""

import errno
import gzip
import lzma
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from benchmarks.stand_ins import write_model
from mtkit.cli.main import main
from mtkit.config.search import SearchSettings
from mtkit.files import write_json
from mtkit.model.folder import read_card
from mtkit.translation.resuming import NOTE_FORMAT

GOLDEN = Path(__file__).parent / "errors"
RECIPE = """\
recipe: bad
source: aa
target: bb
stages:
  corpus: {train: text/train, valid: text/valid, test: text/test}
  subword: {pieces: 5000}
  train: {until: {updates: 5}, schedule: {warmup_updates: 1}, validate: {every: 5 updates}}
  translate: {}
"""
CARD = """\
name: card
about: a card
languages: [aa, bb]
licence: CC0-1.0
attribution: nobody
network: true
parts:
  - source: SOURCE
    reader: {kind: tsv, columns: {aa: 1, bb: 2}}
"""
WORDS = [
    "one",
    "two and three",
    "four",
    "five or six",
    "seven",
    "eight",
    "nine or so",
    "ten",
    "eleven",
    "twelve",
]
TMX = '<tmx version="1.4"><body><tu><tuv xml:lang="aa"><seg>one</seg></tuv>'

Change = Callable[[Path], object]


def write(name: str, content: str | bytes) -> Change:
    """Writes a file."""

    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def several(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def cut(name: str, length: int) -> Change:
    return lambda folder: os.truncate(folder / name, length)


def flip(name: str) -> Change:
    """Flips a bit in the middle of a file."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return change


def replace(name: str, old: str, new: str) -> Change:
    """Edits a text."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def other_vocabulary(folder: Path) -> None:
    """A second model whose card, whole as it is, says that it has another vocabulary."""
    other = shutil.copytree(folder / "model", folder / "other")
    card = read_card(other)
    files = card.files | {"subword/shared.model": "0" * 64}
    write_json(other / "model.json", card.model_copy(update={"files": files}).written())


def pack(name: str, packed: bytes, ending: str) -> Change:
    """Puts an archive in a text's place."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / f"{name}{ending}").write_bytes(packed)

    return change


def card(source: str) -> Change:
    return write("card.yaml", CARD.replace("SOURCE", source))


def nothing(folder: Path) -> None:
    """Nothing has to be done: the command itself is the mistake."""


LINES = "".join(f"{word}\n" for word in WORDS).encode()
SET = "--set stages.corpus"
GET = "data get card.yaml --source aa --target bb --out got"
WITH_MODEL = "translate --model model --input text/test.aa"

SCENARIOS: dict[str, tuple[str, Change]] = {
    # the corpus
    "side_missing": ("corpus r.yaml", remove("text/train.bb")),
    "file_missing": (f"corpus r.yaml {SET}.train='{{tsv: text/no.tsv}}'", nothing),
    "file_is_a_folder": (f"corpus r.yaml {SET}.train='{{tsv: text}}'", nothing),
    "corpus_empty": (
        "corpus r.yaml",
        lambda f: [(f / f"text/train.{s}").write_text("") for s in ("aa", "bb")],
    ),
    "validation_empty": (
        "corpus r.yaml",
        lambda f: [(f / f"text/valid.{s}").write_text("") for s in ("aa", "bb")],
    ),
    "validation_without_a_reference_file": ("corpus r.yaml", remove("text/valid.bb")),
    "validation_without_references": ("corpus r.yaml", write("text/valid.bb", "\n" * 10)),
    "validation_cut_short": ("corpus r.yaml", write("text/valid.bb", "ONE\nTWO\n")),
    "corpus_emptied_by_filters": (f"corpus r.yaml {SET}.filters='[{{length: {{min: 9}}}}]'", nothing),
    "sides_out_of_step": ("corpus r.yaml", replace("text/train.bb", "FOUR\n", "")),
    "side_cut_short": ("corpus r.yaml", cut("text/train.bb", 28)),
    "one_file_for_both_sides": (
        f"corpus r.yaml {SET}.train='{{source: text/test.aa, target: text/test.aa}}'",
        nothing,
    ),
    "invalid_utf8": ("corpus r.yaml", write("text/train.aa", LINES.replace(b"four", b"f\xf6ur"))),
    "invalid_utf8_in_an_archive": (
        "corpus r.yaml",
        pack("text/train.aa", gzip.compress(LINES.replace(b"four", b"f\xf6ur")), ".gz"),
    ),
    "utf_16": ("corpus r.yaml", write("text/train.aa", LINES.decode().encode("utf-16"))),
    "gz_cut_short": ("corpus r.yaml", pack("text/train.aa", gzip.compress(LINES)[:40], ".gz")),
    "gz_that_is_none": ("corpus r.yaml", pack("text/train.aa", LINES, ".gz")),
    "xz_cut_short": ("corpus r.yaml", pack("text/train.aa", lzma.compress(LINES)[:40], ".xz")),
    "zst_that_is_none": ("corpus r.yaml", pack("text/train.aa", LINES, ".zst")),
    "tsv_without_a_tab": (
        f"corpus r.yaml {SET}.train='{{tsv: t.tsv}}'",
        write("t.tsv", "one\tONE\ntwo TWO\n"),
    ),
    "tmx_cut_short": (f"corpus r.yaml {SET}.train='{{tmx: t.tmx}}'", write("t.tmx", TMX)),
    "tmx_without_pairs": (
        f"corpus r.yaml {SET}.train='{{tmx: t.tmx}}'",
        write("t.tmx", TMX + "</tu></body></tmx>"),
    ),
    "tmx_with_entities": (
        f"corpus r.yaml {SET}.train='{{tmx: t.tmx}}'",
        write("t.tmx", '<!DOCTYPE t [<!ENTITY e "e">]>' + TMX + "</tu></body></tmx>"),
    ),
    # datasets
    "dataset_unknown": (f"corpus r.yaml {SET}.train='{{dataset: startre}}'", nothing),
    "dataset_without_the_languages": (f"corpus r.yaml {SET}.train='{{dataset: starter}}'", nothing),
    "dataset_without_its_parameters": ("data get opus --source aa --target bb --out got", nothing),
    "card_missing": (GET, nothing),
    "card_with_problems": (GET, card("{kind: ftp}")),
    "card_names_no_file": (GET, card("{kind: path, path: no.tsv}")),
    "no_network": (GET, card('{kind: url, url: "http://127.0.0.1:9/t.tsv", sha256: null}')),
    "address_has_nothing": (GET, card('{kind: url, url: "http://127.0.0.1:PORT/gone.tsv", sha256: null}')),
    "hash_differs": (GET, card(f'{{kind: url, url: "http://127.0.0.1:PORT/t.tsv", sha256: "{"0" * 64}"}}')),
    # the store and the machine
    "stage_unknown": ("run r.yaml --goal trian", nothing),
    "recipe_named_as_the_store": ("corpus r.yaml", replace("r.yaml", "recipe: bad", "recipe: store")),
    "store_is_a_file": ("corpus r.yaml", write("runs/store", "a file")),
    "run_folder_is_a_file": ("corpus r.yaml", write("runs/bad", "a file")),
    "link_place_taken": ("corpus r.yaml", write("runs/bad/corpus/mine", "")),
    "manifest_is_no_json": ("corpus r.yaml", write("runs/bad/manifest.json", "{")),
    "manifest_is_no_manifest": ("status", write("runs/bad/manifest.json", "[]")),
    "run_unknown": ("status nowhere", nothing),
    "disk_full": ("corpus r.yaml", nothing),
    "disk_only_for_reading": ("corpus r.yaml", nothing),
    "disk_forbidden": ("corpus r.yaml", nothing),
    # vocabulary and training
    "vocabulary_larger_than_the_text_supports": ("subword r.yaml", nothing),
    "device_unknown": ("train r.yaml --set stages.subword.pieces=320 --device tpu", nothing),
    "pairs_all_too_long": (
        "train r.yaml --set stages.subword.pieces=320 --set stages.train.max_tokens=2",
        nothing,
    ),
    "more_micro_batches_than_pairs": (
        "train r.yaml --set stages.subword.pieces=320 --set stages.train.accumulate=11",
        nothing,
    ),
    "epochs_end_before_warm_up": (
        "train r.yaml --set stages.subword.pieces=320 --set 'stages.train.until={epochs: 3, updates: null}'"
        " --set stages.train.schedule.warmup_updates=50 --set stages.train.validate.every='1 epochs'",
        nothing,
    ),
    "more_processes_than_a_machine_bears": ("train r.yaml --processes 100000", nothing),
    "more_processes_than_gpus": ("train r.yaml --dry-run --processes 2 --device cuda", nothing),
    "precision_the_device_lacks": (
        "train r.yaml --set stages.subword.pieces=320 --set stages.train.precision=bfloat16 --device cuda",
        nothing,
    ),
    "rendezvous_that_nobody_answers": ("train r.yaml", nothing),
    "rendezvous_to_which_somebody_does_not_come": ("train r.yaml", nothing),
    # models
    "model_folder_missing": ("translate --model nowhere", nothing),
    "model_missing": ("translate --model text", nothing),
    "model_never_trained": ("translate", nothing),
    "model_of_a_newer_version": (WITH_MODEL, replace("model/model.json", '"format": 1', '"format": 9')),
    "model_card_is_no_json": (WITH_MODEL, cut("model/model.json", 40)),
    "model_card_lacks_fields": (WITH_MODEL, write("model/model.json", '{"format": 1}')),
    "model_card_is_not_utf8": (WITH_MODEL, write("model/model.json", b"\xff")),
    "model_card_changed": (WITH_MODEL, replace("model/model.json", '"heads": 2', '"heads": 4')),
    "converted_model_without_its_certificate": (
        f"{WITH_MODEL} --device cpu",
        lambda f: (f / "model/ctranslate2").mkdir(),
    ),
    "weights_flipped": (WITH_MODEL, flip("model/model.safetensors")),
    "weights_cut_short": (WITH_MODEL, cut("model/model.safetensors", 100)),
    "weights_missing": (WITH_MODEL, remove("model/model.safetensors")),
    "subword_model_flipped": (WITH_MODEL, flip("model/subword/shared.model")),
    # texts to translate and to score
    "input_missing": ("translate --model model --input no.txt", nothing),
    "input_is_a_folder": ("translate --model model --input text", nothing),
    "input_is_utf_16": ("translate --model model --input t", write("t", "four\n".encode("utf-16"))),
    "input_is_the_output": (f"{WITH_MODEL} --output text/test.aa", nothing),
    "output_folder_missing": (f"{WITH_MODEL} --output no/out", nothing),
    "output_is_a_folder": (f"{WITH_MODEL} --output text", nothing),
    "output_named_as_compressed": (f"{WITH_MODEL} --output out.gz", nothing),
    "output_and_another_to_resume": (f"{WITH_MODEL} --output a --resume b", nothing),
    "resumed_with_other_options": (
        f"{WITH_MODEL} --resume out",
        several(
            write("out", "ONE\n"),
            write("out.unfinished", f'{{"format": {NOTE_FORMAT}, "made_by": {{"format": "--json"}}}}\n'),
        ),
    ),
    "resumed_in_another_format": (f"{WITH_MODEL} --resume out --json", write("out", "ONE\nTWO\n")),
    "resumed_behind_the_end": (f"{WITH_MODEL} --resume out", write("out", "ONE\n" * 11)),
    "resumed_with_flags_not_known": (
        f"{WITH_MODEL} --resume out --strict",
        write("out", "ONE\n" * len(WORDS)),
    ),
    "note_is_the_input": (
        "translate --model model --input t.unfinished --output t",
        write("t.unfinished", ""),
    ),
    "note_is_a_folder": (f"{WITH_MODEL} --output out", write("out.unfinished/file", "")),
    "resumed_stdout": (f"{WITH_MODEL} --resume -", nothing),
    "document_with_scores": (f"{WITH_MODEL} --document --scores", nothing),
    "document_with_prefixes": (f"{WITH_MODEL} --document --with-prefixes", nothing),
    "flag_unknown": (f"{WITH_MODEL} --strict=truncate", nothing),
    "flag_not_named": (f"{WITH_MODEL} --strict=", nothing),
    "flags_that_strict_does_not_allow": (
        "translate --model model --input t --output out --strict=invalid_utf8",
        write("t", b"one\nf\xf6ur\n\xff\n"),
    ),
    "more_translations_than_hypotheses": (f"{WITH_MODEL} --beam-size 2 --n-best 3", nothing),
    "options_beside_a_recipe": ("translate r.yaml --n-best 3", nothing),
    "beam_beside_sampling": (f"{WITH_MODEL} --beam-size 4 --set sampling.top_k=3", nothing),
    "several_best_that_are_not_written": (f"{WITH_MODEL} --set n_best=2", nothing),
    "shortest_above_longest": (f"{WITH_MODEL} --set min_length_extra=30", nothing),
    "groups_that_do_not_divide_the_beam": (f"{WITH_MODEL} --set diversity.groups=3", nothing),
    "samples_chosen_from_too_narrow_a_beam": (f"{WITH_MODEL} --set mbr.utility=chrf", nothing),
    "prefix_longer_than_the_limit": (f"{WITH_MODEL} --target-prefix '{'fade ' * 40}'", nothing),
    "prefix_that_cannot_be_written": (f"{WITH_MODEL} --target-prefix one", nothing),
    "two_kinds_of_prefixes": (f"{WITH_MODEL} --target-prefix fade --with-prefixes", nothing),
    "piece_that_is_none": (f"{WITH_MODEL} --set suppress_pieces=[two_and_three]", nothing),
    "suppressed_text_that_is_blank": (f"{WITH_MODEL} --set \"suppress=[' ']\"", nothing),
    "token_scores_without_json": (f"{WITH_MODEL} --token-scores", nothing),
    "average_of_one_model": (f"{WITH_MODEL} --average log-probabilities", nothing),
    "ensemble_of_different_vocabularies": (
        f"{WITH_MODEL} --model other",
        other_vocabulary,
    ),
    "ensemble_of_opposite_directions": (
        f"{WITH_MODEL} --model back",
        lambda f: write_model(
            f / "back",
            f / "model/subword",
            seed=2,
            source_language="bb",
            target_language="aa",
            normalize="nfc",
        ),
    ),
    "reranked_by_a_model_of_the_same_direction": (f"{WITH_MODEL} --rerank-by model", nothing),
    "reranked_with_one_hypothesis": (f"{WITH_MODEL} --beam-size 1 --rerank-by model", nothing),
    "pairs_without_a_tab": ("score-pairs --model model text/test.aa", nothing),
    "text_to_translate_as_a_recipe": ("translate text/test.aa --n-best 3", nothing),
    "text_to_score_as_a_recipe": ("score text/test.bb --reference text/test.bb", nothing),
    "translations_of_another_text": (
        "score --system text/test.aa --reference r",
        write("r", "one\n"),
    ),
    "nothing_to_score": ("score --system e --reference e", write("e", "")),
    "system_named_twice": ("score --system t --system t --reference text/test.bb", write("t", LINES)),
    "given_translations_of_another_text": ("perplexity --model model text/test.aa t", write("t", "one\n")),
}
RENDEZVOUS = {"rendezvous_that_nobody_answers": 1, "rendezvous_to_which_somebody_does_not_come": 0}  # rank
GPUS = {"more_processes_than_gpus": 1, "precision_the_device_lacks": 1}
FULL_DISKS = {
    "disk_full": errno.ENOSPC,
    "disk_only_for_reading": errno.EROFS,
    "disk_forbidden": errno.EACCES,
}


@pytest.fixture(scope="session")
def model(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose model has learnt nothing."""
    return write_model(
        tmp_path_factory.mktemp("model") / "model",
        toy / "subword",
        seed=1,
        source_language="aa",
        target_language="bb",
        normalize="nfc",
        max_tokens=32,
        decoding=SearchSettings(beam_size=2),
    )


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """The port of a server on this machine that knows one file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/t.tsv"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(b"one\tONE\n" if found else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing is wrong: a recipe, its texts, a model."""
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "text").mkdir()
    for split in ("train", "valid", "test"):
        lines = [f"{word}\n" if split == "train" else f"{split} {word}\n" for word in WORDS]
        (tmp_path / f"text/{split}.aa").write_text("".join(lines))
        (tmp_path / f"text/{split}.bb").write_text("".join(lines).upper())
    shutil.copytree(model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MTKIT_MODEL", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def without_chance(text: str, folder: Path, port: int) -> str:
    """The message with capitals for what differs from run to run."""
    text = text.replace(str(folder), "FOLDER").replace(f":{port}/", ":PORT/")
    text = re.sub(r"error: 127\.0\.0\.1:\d+:", "error: 127.0.0.1:PORT:", text)
    text = re.sub(r"with \d+ cores?\b", "with N cores", text)
    text = re.sub(r"Use `--processes \d+`", "Use `--processes N`", text)
    return re.sub(r"-[0-9a-f]{16}\b", "-FINGERPRINT", text)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_mistake_is_answered_as_stored(
    name: str,
    folder: Path,
    port: int,
    golden: Callable[[Path, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, change = SCENARIOS[name]
    change(folder)
    for path in folder.glob("card.yaml"):
        path.write_text(path.read_text().replace("PORT", str(port)))
    if name in RENDEZVOUS:
        wait_in_vain(RENDEZVOUS[name], monkeypatch)
    if name in GPUS:
        have_old_gpus(GPUS[name], monkeypatch)
    if name in FULL_DISKS:
        monkeypatch.setattr(os, "fsync", failing(FULL_DISKS[name]))
    monkeypatch.setattr("sys.argv", ["mtkit", *shlex.split(command)])
    with pytest.raises(SystemExit) as left:
        main()
    talk = capsys.readouterr()
    begins = talk.err.index("error: ")
    assert talk.out == ""
    golden(
        GOLDEN / f"{name}.txt",
        f"mtkit {command}\nexit code {left.value.code}\n{without_chance(talk.err[begins:], folder, port)}",
    )


def failing(number: int) -> Callable[[int], None]:
    """What stands in for flushing a file to a disk that refuses."""

    def fail(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def wait_in_vain(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that are to meet, only one is there."""
    port = 20_000 + os.getpid() % 10_000  # below those that systems hand out to others meanwhile
    values: dict[str, object] = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2,
        "MASTER_PORT": port,
    }
    values |= {"MASTER_ADDR": "127.0.0.1", "MTKIT_MEET_SECONDS": 0.2}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def have_old_gpus(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many GPUs that do not compute in bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Old Card")


def test_every_message_has_its_scenario_and_says_what_to_do() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SCENARIOS)
    for path in GOLDEN.glob("*.txt"):
        text = path.read_text()
        assert re.search(r"^exit code [12345]$", text, re.MULTILINE), path
        assert "    Expected: " in text, path
        assert "    Next: " in text, path
