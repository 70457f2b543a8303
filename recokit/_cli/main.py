"""Which commands there are, how one is run, and what the exit code says."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from recokit._cli.options import UsageError, add_common
from recokit.errors import RecokitError, did_you_mean

#: Every command, in the order in which a project needs them; each is a module of this package.
COMMANDS = {
    "new": "write a small project: pipeline, tests, Makefile, Dockerfile, CI",
    "validate": "check whether data is fit to train on",
    "profile": "say what data looks like, and whether it has drifted",
    "fit": "train the pipeline of a Python file, and save it",
    "evaluate": "measure a model on what came after, and hold it against another",
    "preflight": "go through the launch checklist",
    "diagnose": "say why lists are bad, and what to do",
    "recommend": "print lists of users",
    "publish": "put a model into a store of versions, behind golden questions",
    "serve": "answer over HTTP, for a try or an internal tool",
    "bench": "time a model: single requests, a batch, each stage",
}
DONE, REFUSED, WRONG_CALL, IMPOSSIBLE, INTERRUPTED, CLOSED = 0, 1, 2, 3, 130, 141

_CODES = """exit codes:
  0    done, and every check passed
  1    a check failed: invalid data, a refused model, an ill list, too slow
  2    the call is wrong: an option, or a file that is not there
  3    it could not be done: data, model or code at fault, said on stderr
  130  interrupted by Ctrl-C
  141  the reader of the output went away"""


def usage() -> str:
    """Return the help of the whole: 24 lines."""
    rows = "\n".join(f"  {name:<11}{summary}" for name, summary in COMMANDS.items())
    return f"usage: recokit COMMAND [options]; recokit COMMAND --help\n\n{rows}\n\n{_CODES}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # What Python itself would flush at its end has no reader either.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except KeyboardInterrupt:
        print("recokit: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return DONE if given else WRONG_CALL
    if given[0] in ("-V", "--version"):
        from recokit import __version__

        print(f"recokit {__version__}")
        return DONE
    name = given[0]
    if name not in COMMANDS:
        print(f"recokit: found command {name!r}; {did_you_mean(name, COMMANDS)}", file=sys.stderr)
        return WRONG_CALL
    module = importlib.import_module(f"recokit._cli.{name}")
    parser = module.parser(f"recokit {name}", COMMANDS[name])
    add_common(parser)
    try:
        options = parser.parse_args(given[1:])
    except SystemExit as end:  # of --help, or of an option that is none
        return int(end.code or 0)
    return _done(name, module, options)


def _done(name: str, module: Any, options: Any) -> int:
    """Run a command; say what is wrong in one line, as far as it can be said in one."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return int(module.run(options))
        except UsageError as error:
            print(f"recokit {name}: {error}", file=sys.stderr)
            return WRONG_CALL
        except BrokenPipeError:
            raise
        except Exception as error:
            if options.traceback or not isinstance(error, RecokitError | ImportError | OSError):
                import traceback

                traceback.print_exc()
            print(f"recokit {name}: {_said(error)}", file=sys.stderr)
            return IMPOSSIBLE


def _said(error: Exception) -> str:
    kind = "" if isinstance(error, RecokitError) else f"{type(error).__name__}: "
    return f"{kind}{error}"


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **more: Any) -> None:
    print(f"recokit: {category.__name__}: {message}", file=sys.stderr)
