# SPDX-License-Identifier: Apache-2.0
"""What the documents say is so: commands and options exist, links lead somewhere, README's examples work."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import support
from support import run

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DOCS = sorted(glob.glob(os.path.join(ROOT, "*.md")) + glob.glob(os.path.join(ROOT, "docs", "*.md")))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        return stream.read()


def blocks(text, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def anchors(text):
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


class Documents(unittest.TestCase):
    def test_links(self):
        for path in DOCS:
            for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
                if target.startswith("http"):
                    continue
                name, _, anchor = target.partition("#")
                there = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
                self.assertTrue(os.path.exists(there), f"{path}: {target}")
                if anchor and there.endswith(".md"):
                    self.assertIn(anchor, anchors(read(there)), f"{path}: {target}")

    def test_files(self):
        """A file that a document names in a folder is there; what has gone, or is written by a run, is listed here."""
        absent = {"create/encoder.c", "docs/nightly.md"}
        named = 0
        for path in DOCS:
            for name in re.findall(r"`([a-z0-9_.-]+/[a-z0-9_./-]+\.(?:c|h|inc|py|sh|cmake|md))`", read(path)):
                there = [os.path.exists(os.path.join(ROOT, folder, name)) for folder in ("", "src", "src/kernels", "src/create")]
                self.assertTrue(any(there) or name in absent, f"{path}: {name}")
                named += 1
        self.assertGreater(named, 50)

    def test_commands_and_their_options(self):
        usage = {command: set(re.findall(r"--[a-z][a-z0-9-]*|(?<=\[-)[a-zA-Z?]+", run(command, "--usage").stdout))
                 for command in re.findall(r"^  ([a-z]+)  ", run("--help").stdout, re.M)}
        tried = 0
        for path in DOCS:
            for command, rest in re.findall(r"espalier ([a-z]+)\b([^`\n|&;#]*)", "\n".join(
                    blocks(read(path)) + re.findall(r"`([^`\n]+)`", read(path)))):
                if command in usage:
                    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", rest))
                    self.assertLessEqual(options, usage[command], f"{path}: espalier {command}{rest}")
                    tried += 1
        self.assertGreater(tried, 50)

    def test_picture_of_the_layers(self):
        drawn = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "tools", "draw_layers.py")], capture_output=True,
                               text=True, check=True).stdout
        self.assertTrue(drawn == read("docs/layers.svg"), "tools/draw_layers.py --write")

    def test_glossary(self):
        """Each word stands in the file that is said to define it."""
        rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| \[[^]]+\]\(([^)]+)\) \|$", read("docs/glossary.md"), re.M)
        for words, place in rows:
            text = re.sub(r"[-_ \n*]+", " ", read(os.path.join("docs", place))).lower()
            for word in re.sub(r" \(.*\)", "", words).split(", "):
                self.assertTrue(word.replace("-", " ").lower() in text, f"{word}: {place}")
        self.assertGreater(len(rows), 40)


class Readme(support.Scratch):
    def test_one_page(self):
        self.assertLessEqual(len(read("README.md").split()), 900)

    def test_families(self):
        for family in re.findall(r'(?:\.model_type = |\{ROBERTA\()"([^"]+)"', read("src/model/archs.inc")):
            self.assertIn(f"`{family}`", read("README.md"))

    def test_own_model(self):
        """The console lines, with a model of two layers."""
        console, = [block for block in blocks(read("README.md")) if block.startswith("$ export")]
        shutil.move(self.model(), self.path("my-squad-model"))
        self.write("questions.jsonl", json.dumps({"question": "Who?", "context": "Ada wrote it."}) + "\n")
        script = [line[2:] for line in console.splitlines() if line.startswith("$ ")]
        script[0] = f"export PATH={os.path.dirname(support.PROGRAM)}:$PATH"
        done = subprocess.run(["sh", "-e", "-c", "\n".join(script)], cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.assertEqual([sorted(answer) for answer in answers], [["answer", "end", "score", "start"]] * 2)

    @unittest.skipUnless(shutil.which("cc"), "no compiler")
    def test_program(self):
        program, = blocks(read("README.md"), "c")
        self.write("answer.c", program)
        done = subprocess.run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                               "-I" + os.path.join(ROOT, "include"), self.path("answer.c")], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    support.main()
