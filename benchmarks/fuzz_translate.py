"""Odd lines in, as many lines out, in order: translating whatever a text may hold, through every engine here.

Lines of every odd sort are made from a seed (control characters, line separators, emoji, scripts, marks
without end, invalid UTF-8, blanks, text that never ends) and translated by `mtkit translate`. Checked are the
number of output lines, the line numbers and sources of `--json`, and the order: some lines are translated
again among themselves and must come out alike. Run it as

    python benchmarks/fuzz_translate.py --lines 20000                     about 2 minutes
    python benchmarks/fuzz_translate.py --shortlist 5                     a million, with a shortlist
    python benchmarks/fuzz_translate.py --lines 1000 --model runs/demo

Without `--model` a small model is made that has hardly learnt to copy, and converted. Every engine that has
the model is asked, and with `--shortlist` CTranslate2 alone, which can have one. First of all a translator
that copies shows that splitting, joining and order hold.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.stand_ins import Copying, learn, write_model
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.config.subword import SubwordSettings
from mtkit.corpus.normalize import normalize
from mtkit.export.shortlist import FILE
from mtkit.files import lenient_lines, write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword
from mtkit.translation.converted import CONVERTED, is_converted
from mtkit.translation.find_model import model_folder
from mtkit.translation.flags import is_blank
from mtkit.translation.translator import Translator

SAMPLES = 200  # lines that are translated by themselves, too
ALIKE = 0.97  # of them, at least; the rest may be ties that rounding decides, which only batching changes
ALIKE_WITH_SHORTLIST = 0.3  # whose pieces are those of all lines of a batch; by chance 0.1 would be
WORDS = ("the", "device", "is", "open", "please", "choose", "z.B.", "Dr.", "Maier", "3.14", "e.g.", "Straße")
SCRIPTS = (
    "абвгдежзик",
    "αβγδεζηθ",
    "我们走吧你好再见",
    "ひらがなカタカナ漢字",
    "한국어문장",
    "ابتثجحخ",
    "अआइईउऊ",
    "กขคงจฉช",
    "אבגדהו",
)
ODD = (
    "\x00\x01\t\r\x0b\x0c\x1b\x1c\x1e\x7f\x85\xa0\xad"
    "\u200b\u200d\u200e\u2028\u2029\u202e\u2066\u3000\ufeff\ufffd\ufffe"
)
EMOJI = "😀😁👍🏽👩\u200d🔬🇩🇪❤️"
MARKS = "\u0301\u0323\u0344\u0f73\u3099\u20dd"
STOPS = ".!?…。！？;:,—\"'“”«»„()[]"


def odd_line(draw: random.Random) -> bytes:
    """A line of some odd sort, without `\\n`."""
    sort = draw.randrange(16)
    words = " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
    if sort == 0:
        return draw.choice((b"", b" ", b"\t \r", b"\xe2\x80\xa8", b"\x00", b"\xc2\xa0"))
    if sort == 1:
        return bytes(draw.choices([byte for byte in range(256) if byte != 10], k=draw.randint(1, 40)))
    if sort == 2:
        place = draw.randrange(len(words) + 1)
        broken = draw.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f"))
        return words[:place].encode() + broken + words[place:].encode()
    return _odd_text(sort, words, draw).replace("\n", " ").encode()


def _odd_text(sort: int, words: str, draw: random.Random) -> str:
    if sort == 3:
        return "".join(draw.choices(EMOJI, k=draw.randint(1, 30)))
    if sort == 4:
        return "".join(draw.choices(draw.choice(SCRIPTS), k=draw.randint(1, 40)))
    if sort == 5:
        return "".join(draw.choices(ODD + words, k=draw.randint(1, 60)))
    if sort == 6:
        return words[:9] + "".join(draw.choices(MARKS, k=draw.randint(1, 200)))
    if sort == 7:
        return draw.choice(STOPS + "ax-") * draw.randint(1, 300)
    if sort == 8:
        return "".join(
            chr(draw.choice((draw.randrange(32, 0xD800), draw.randrange(0xE000, 0x110000))))
            for _ in range(30)
        )
    if sort == 9 and not draw.randrange(20):
        return (words + draw.choice(STOPS)) * draw.randint(1, 60)
    if sort == 10:
        return draw.choice(("- ", "> ", "1. ", "\t", "# ")) + words + draw.choice(("\r", " ", "-"))
    return words + draw.choice(STOPS)


def odd_lines(count: int, seed: int) -> Iterator[bytes]:
    """As many odd lines."""
    draw = random.Random(seed)
    return (odd_line(draw) for _ in range(count))


def check_copying(count: int, seed: int) -> None:
    """Every line comes back as it was normalised, in its place, or empty if nothing of it can be seen."""
    copying = Copying()
    translator = Translator(copying, copying, form="nfc", limit=60)
    lines = lenient_lines((line + b"\n" for line in odd_lines(count, seed)), "odd")
    found = 0
    for source, translation in zip(
        _sources(count, seed), translator.translate(lines, live=False), strict=True
    ):
        found += 1
        assert translation.source == source, (found, source)
        normal = normalize(source, "nfc")
        kept = "" if is_blank(normal) else normal
        assert "".join(translation.text.split()) == "".join(kept.split()), (found, source)
        assert ("empty" in translation.flags) == (not kept), (found, source)
        assert len(translation.text.splitlines()) <= 1, (found, source)
    assert found == count


def make_model(folder: Path, shortlist: int | None = None) -> Path:
    """A small model that has hardly learnt to copy, converted; what must hold, holds of it too.

    Args:
        folder: where.
        shortlist: target pieces of a source piece; None: it has no shortlist.
    """
    draw = random.Random(1)
    words: Sequence[str] = WORDS
    pieces, count = 300, 400
    if shortlist is not None:
        words, pieces, count = (*WORDS, *_made_up_words(3000, draw)), 2000, 3400
    lines = [" ".join(draw.choices(words, k=draw.randint(1, 8))) + draw.choice(".?!") for _ in range(count)]
    for side in ("source", "target"):
        write_lines(folder / "corpus" / f"train.{side}", lines)
    learn_subword(
        SubwordSettings(pieces=pieces),
        SubwordInputs(folder / "corpus"),
        folder / "subword",
        RunContext(quiet=True),
    )
    ids = Subword.load(folder / "subword").encode(lines, "source")
    write_model(
        folder / "model",
        folder / "subword",
        seed=1,
        shape=ModelSettings(dim=32, ffn_dim=64, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0),
        teach=lambda model: learn(model, ids[:400], ids[:400], updates=100),
        source_language="en",
        target_language="de",
        normalize="nfkc",
        max_tokens=64,
        decoding=SearchSettings(beam_size=2, max_length_factor=0.3, max_length_extra=5),
    )
    for language in ("en", "de"):
        write_lines(folder / f"text.{language}", lines)
    command = [sys.executable, "-m", "mtkit", "export", "ctranslate2", str(folder / "model"), "--quiet"]
    command += ["--probe", str(folder / "text"), "--probe-lines", "50"]
    if shortlist is not None:
        command += ["--shortlist", str(shortlist), "--shortlist-text", str(folder / "text")]
    subprocess.run(command, check=True)
    return folder / "model"


def _made_up_words(count: int, draw: random.Random) -> list[str]:
    """So many that a vocabulary is much larger than what is always on a shortlist."""
    syllables = [one + other for one in "bdfgklmnprstvz" for other in ("a", "e", "i", "o", "u", "en", "ar")]
    return ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(count)]


def translated(text: Path, model: Path, *options: str) -> Iterator[dict[str, object]]:
    """What `mtkit translate --json` makes of a text."""
    command = [
        sys.executable,
        "-m",
        "mtkit",
        "translate",
        "--model",
        str(model),
        "--json",
        "--quiet",
        *options,
    ]
    with (
        text.open("rb") as stream,
        subprocess.Popen(command, stdin=stream, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0, process.returncode


def check_command(
    count: int, seed: int, model: Path, *options: str, least_alike: float = ALIKE
) -> Counter[str]:
    """As many lines out as in, in order; returns how many had which flag."""
    chosen = set(random.Random(seed).sample(range(2, count + 1), min(SAMPLES, count - 1)))
    flags: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        text, samples = Path(folder) / "text", Path(folder) / "samples"
        for path, some in ((text, None), (samples, chosen)):
            with path.open("wb") as stream:
                lines = enumerate(odd_lines(count, seed), start=1)
                stream.writelines(line + b"\n" for number, line in lines if some is None or number in some)
        found, among = 0, []
        for source, record in zip(_sources(count, seed), translated(text, model, *options), strict=True):
            found += 1
            assert (record["line"], record["source"]) == (found, source), found
            flags.update(_flags(record))
            if found in chosen:
                among.append(record["translation"])
        assert found == count
        alone = [record["translation"] for record in translated(samples, model, *options)]
    alike = sum(one == other for one, other in zip(among, alone, strict=True))
    assert alike >= least_alike * len(chosen), f"{alike} of {len(chosen)} samples alike"
    print(f"  {alike} of {len(chosen)} samples alike when translated among themselves")
    return flags


def _sources(count: int, seed: int) -> Iterator[str]:
    """The lines as `--json` says them: what is no character replaced."""
    for line in lenient_lines((line + b"\n" for line in odd_lines(count, seed)), "odd"):
        yield "".join("\ufffd" if "\ud800" <= one < "\ue000" else one for one in line)


def _flags(record: dict[str, object]) -> list[str]:
    flags = record["flags"]
    assert isinstance(flags, list)
    return flags


def main() -> None:
    """Check and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, help="a model folder or a run; left out: a small one is made")
    parser.add_argument("--shortlist", type=int, metavar="N", help="that model has one of N pieces")
    parser.add_argument("--threads", default="2")
    options = parser.parse_args()
    if options.model and options.shortlist is not None:
        parser.error("--shortlist is for the small model; a model of yours has one, or not")
    started = time.monotonic()
    check_copying(options.lines, options.seed)
    print(f"copying: {options.lines:,} lines in, as many out, in order; {time.monotonic() - started:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_model(Path(folder), options.shortlist)
        for engine in engines(model) if options.shortlist is None else ["ctranslate2"]:
            started = time.monotonic()
            more = ("--threads", options.threads, "--engine", engine)
            shortlisted = engine == "ctranslate2" and (model_folder(model) / CONVERTED / FILE).is_file()
            least = ALIKE_WITH_SHORTLIST if shortlisted else ALIKE
            flags = check_command(options.lines, options.seed, model, *more, least_alike=least)
            seconds = time.monotonic() - started
            print(
                f"{engine}: {options.lines:,} lines in, as many out, in order;",
                end=" ",
            )
            print(f"{seconds:.1f} s, {options.lines / seconds:,.0f} lines a second")
            print("  " + " · ".join(f"{count:,} {flag}" for flag, count in flags.most_common()))


def engines(model: Path) -> list[str]:
    """The engines that can translate with a model here."""
    return ["torch", *(["ctranslate2"] if is_converted(model_folder(model)) else [])]


if __name__ == "__main__":
    main()
