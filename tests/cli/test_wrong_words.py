"""What is said to wrong words on the command line: one line with what is wrong, the limit and the way out; exit 2."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from melodygen.cli.app import app


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("generate --styel jazz", "--styel"),
        ("generate --style", "'--style' requires an argument; see 'melodygen generate --help'"),
        ("generate --style jazz --bars x", "--bars 'x' is not possible: it should be a valid integer; see"),
        (
            "library similar a.mid --top 0",
            "--top '0' is not possible: it should be greater than or equal to 1;",
        ),
        ("library similar", "missing argument 'file'; see 'melodygen library similar --help'"),
        ("generate --style jazz more", "(more); see 'melodygen generate --help'"),
        ("nosuch", "no such command 'nosuch'; see 'melodygen --help'"),
        ("generat", "Did you mean 'generate'"),
        ("generate --style jazz --chords=", "--chords is empty; give it a value, or leave it out"),
        ("transpose a.mid --key=", "--key is empty"),
        ("library stats --library=", "--library is empty"),
        ("--foo", "--foo; see 'melodygen --help'"),
    ],
)
def test_wrong_words_are_told_in_one_line(words: str, said: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.startswith("melodygen: ") and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("words", ["", "library", "generate --help", "train generator -h"])
def test_help_stays_as_it_is(words: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == (0 if "-h" in words else 2) and "Usage:" in done.output


def test_a_default_that_is_empty_is_no_empty_value() -> None:
    done = CliRunner().invoke(app, ["train", "generator", "nosuch", "--out", "x", "--style", "x"])
    assert "nosuch" in done.stderr and "is empty" not in done.stderr
