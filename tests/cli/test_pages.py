# SPDX-License-Identifier: Apache-2.0
"""The manual pages and completions that the build makes of the tables of options (tools/pages)."""
import os
import re
import shutil
import subprocess
import unittest

import support
from support import run

PAGES = os.path.join(os.path.dirname(support.PROGRAM), "pages")
COMMANDS = re.findall(r"^  ([a-z]+)  ", run("--help").stdout, re.M)

# Types a line into an interactive zsh, with a tab behind each part, until it has become what is expected.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word; echo re''ady"
zpty -r -m shell seen '*ready*'
zpty -n -w shell $'espalier run --aggreg\tsimp\t'
zpty -r -m shell seen '*aggregation*simple*'
zpty -n -w shell $'x --fun\tsof\t'
zpty -r -m shell seen '*function*softmax*'
zpty -d shell
"""


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"no {program}")


def page(name):
    with open(os.path.join(PAGES, name), encoding="utf-8") as stream:
        return stream.read()


def shell(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def choices(command):
    """{option: "a|b|c"} of help."""
    return dict(re.findall(r"--([a-z0-9-]+)=(\S+\|\S+)", run(command, "--help").stdout))


class Manual(unittest.TestCase):
    def test_a_page_for_each_command_with_each_option(self):
        for command in COMMANDS:
            text = page(f"man1/espalier-{command}.1").replace("\\-", "-").replace("\\fR", "").replace("\\fB", "")
            usage = set(re.findall(r"--[a-z][a-z0-9-]*", run(command, "--usage").stdout)) - {"--help", "--usage"}
            tags = re.findall(r"^\.TP\n(.*)", text, re.M)
            self.assertEqual({re.search(r"--[a-z0-9-]+", tag).group() for tag in tags}, usage, command)
            self.assertIn(f".BR espalier-{command} (1)\n", page("man1/espalier.1").replace("\\-", "-"))

    @needs("mandoc")
    def test_pages_are_well_formed(self):
        for name in sorted(os.listdir(os.path.join(PAGES, "man1"))):
            self.assertEqual(shell("mandoc", "-Tlint", "-Wwarning", os.path.join(PAGES, "man1", name)), "")


class Words(unittest.TestCase):
    def test_words_in_help_are_those_that_are_taken(self):
        tried = 0
        for command in COMMANDS:
            for option, words in choices(command).items():
                if option == "task" and command in ("train", "prune"):
                    continue  # where its data is opened
                *most, last = words.split("|")
                self.assertIn(f"--{option}: expected {', '.join(most)} or {last}, found \"x\"",
                              run(command, f"--{option}=x", "-o/x").stderr)
                tried += 1
        self.assertGreater(tried, 30)

    def test_commands_that_share_an_option_share_its_words(self):
        self.assertEqual(choices("train")["pack"], choices("eval")["pack"])
        self.assertEqual(choices("train")["problem"], choices("init")["problem"])
        self.assertEqual(choices("train")["task"], choices("run")["task"])


class Bash(support.Scratch):
    def complete(self, *words):
        script = 'cd "$1"; source "$2"; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _espalier; ' \
                 'printf "%s\\n" "${COMPREPLY[@]}"'
        return shell("bash", "-c", script, "bash", self.dir, os.path.join(PAGES, "espalier.bash"), "espalier",
                     *words).split()

    def test_commands(self):
        self.assertEqual(self.complete("to"), ["tokenize"])
        self.assertEqual(self.complete(""), COMMANDS + ["--help", "--version"])
        self.assertEqual(self.complete("nothing", ""), [])

    def test_options_and_their_words(self):
        self.assertEqual(self.complete("run", "--agg"), ["--aggregation"])
        for command in COMMANDS:
            for option, words in choices(command).items():
                self.assertEqual(self.complete(command, f"--{option}", ""), words.split("|"))
                self.assertEqual(self.complete(command, f"--{option}", "="), words.split("|"))
        self.assertEqual(self.complete("eval", "-t", "cl"), ["classify"])
        self.assertEqual(self.complete("run", "model", "--function", "=", "so"), ["softmax"])

    def test_files(self):
        self.write("model.esp", "")
        os.mkdir(self.path("models"))
        self.assertEqual(sorted(self.complete("run", "mod")), ["model.esp", "models"])
        self.assertEqual(self.complete("run", "--input", "model."), ["model.esp"])
        self.assertEqual(self.complete("train", "-o", "mod"), ["models"])
        self.assertEqual(self.complete("run", "--threads", ""), [])
        self.assertEqual(self.complete("demo", "mod"), [])


class OtherShells(unittest.TestCase):
    @needs("zsh")
    def test_zsh(self):
        self.assertEqual(shell("zsh", "-n", os.path.join(PAGES, "_espalier")), "")
        self.assertNotIn("error", shell("zsh", "-f", "-c", ZSH, "zsh", PAGES))

    @needs("fish")
    def test_fish(self):
        def complete(line):
            found = shell("fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]',
                          os.path.join(PAGES, "espalier.fish"), line)
            return [row.split("\t")[0] for row in found.splitlines()]

        self.assertEqual(complete("espalier to"), ["tokenize"])
        self.assertEqual(complete("espalier run --agg"), ["--aggregation"])
        for command in COMMANDS:
            for option, words in choices(command).items():
                self.assertEqual(sorted(complete(f"espalier {command} --{option} ")), sorted(words.split("|")))
        self.assertEqual(complete("espalier run --threads "), [])


if __name__ == "__main__":
    support.main()
