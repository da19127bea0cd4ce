"""The group `mtkit`: loads a command's file only when it is asked for, and turns errors into exit codes."""

import importlib
import io
import os
import sys
from keyword import iskeyword
from pathlib import Path
from typing import Any, NoReturn

import click

from mtkit import __version__
from mtkit.errors import MtkitError, RunError
from mtkit.files import told_by_system
from mtkit.log import heard_or_not, leave, say

# verb → (module, one line for `mtkit --help`), in the order of the help page
COMMANDS = {
    "run": ("mtkit.cli.run", "Run a recipe: every stage that is not stored yet."),
    "recipe": ("mtkit.cli.recipe", "Check, show, compare and explain recipes."),
    "data": ("mtkit.cli.data", "List, show and fetch datasets."),
    "corpus": ("mtkit.cli.stage_verbs", "Run a recipe up to its corpus."),
    "subword": ("mtkit.cli.stage_verbs", "Run a recipe up to its subword model."),
    "train": ("mtkit.cli.stage_verbs", "Run a recipe up to its trained model."),
    "verify-resume": ("mtkit.cli.verify_resume", "Kill and resume a training; prove that it is the same."),
    "translate": ("mtkit.cli.translate", "Translate lines of text from stdin to stdout."),
    "score": ("mtkit.cli.score", "Score translations: BLEU, chrF, TER with signatures."),
    "export": (
        "mtkit.cli.export",
        "Convert a model for another engine, with proof that it translates alike.",
    ),
    "import": ("mtkit.cli.importing", "Make a model folder of another toolkit's model."),
    "perplexity": ("mtkit.cli.perplexity", "Compute the log-probability of given translations."),
    "score-pairs": ("mtkit.cli.score_pairs", "Score sentence pairs, or keep the best share of them."),
    "status": ("mtkit.cli.status", "Say what is stored, running or interrupted."),
    "clean": ("mtkit.cli.clean", "Remove stored stages that no run uses."),
}
INTERRUPTED = 130
# modules that some leave out where models are only used, and what brings them
LEFT_OUT = {
    "torch": "torch",
    "ctranslate2": "ctranslate2",
    "yaml": "pyyaml",
    "backports": "backports.zstd",
    "backports.zstd": "backports.zstd",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All verbs, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command itself; its file defines it under its own name."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][0])
        command = getattr(module, name.replace("-", "_") + "_" * iskeyword(name))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, context: click.Context) -> Any:
        """Run the command; that the reader of stdout has gone (`| head`) is no error."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            leave(sys.stdout)
            return None

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a suggestion for a misspelt verb."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from mtkit.config.nearest import did_you_mean

            hint = did_you_mean(args[0], COMMANDS) or "See `mtkit --help`."
            context.fail(f"No such command '{args[0]}'. {hint}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mtkit", message="%(prog)s %(version)s")
def mtkit() -> None:
    """Train, run and measure a machine translation system from one recipe.

    Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 the machine or the store, 2 the recipe
    or the command line, 3 the data, 4 the model, 5 flags that --strict does not allow, 130 interrupted.

    \b
    Examples:
      mtkit run recipes/demo.yaml
      mtkit translate < input.txt
    """


def main() -> None:
    """The console script: errors as messages, Ctrl-C as exit code 130."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # data are UTF-8 whatever the locale says
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # of names of files
    # Searching every installed package for plugins of pydantic, which no command could use, takes time.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    try:
        mtkit(standalone_mode=False)
    except click.exceptions.Abort:
        _interrupted()
    except KeyboardInterrupt:
        _interrupted()
    except click.ClickException as error:
        with heard_or_not():
            error.show()
        sys.exit(2)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except MtkitError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        if error.name not in LEFT_OUT:
            raise
        _fail(_not_installed(LEFT_OUT[error.name]))
    except OSError as error:  # what no command has put into words; above all a stdout that takes no more
        where = error.filename if isinstance(error.filename, str) else "a standard stream"
        _fail(told_by_system(error, where))


def _not_installed(package: str) -> MtkitError:
    return RunError(
        f"this needs {package}, which is not installed",
        where="this Python",
        expected=f"the package {package}",
        advice=f"Install it (`pip install {package}`), or run this where it is.",
    )


def _fail(error: MtkitError) -> NoReturn:
    say(f"{error.prefix}{error}")
    sys.exit(error.exit_code)


def _open_closed_streams() -> None:
    """Let a standard stream that was closed (`2>&-`) give and take nothing; talk would go to stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _interrupted() -> None:
    say("interrupted")
    sys.exit(INTERRUPTED)
