# SPDX-License-Identifier: Apache-2.0
"""What the command-line tests share: the program, a scratch directory, a small model, checkpoints by hand."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases")
SHARED = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else ""
SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")

TEXT = """Ada Lovelace wrote the first program for the Analytical Engine in London.
The engine was designed by Charles Babbage, who lived in London as well.
Grace Hopper built the first compiler in Philadelphia and liked clocks.
Paris is the capital of France; Berlin is the capital of Germany!
Mary Somerville translated celestial mechanics and Emmy Noether proved two theorems about symmetry.
"""

TINY = {
    "architectures": ["BertForQuestionAnswering"], "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 32, "hidden_act": "gelu", "vocab_size": 200,
    "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
}


def run(*arguments, stdin=b"", env=None, timeout=120):
    """Runs the program; the result has returncode, stdout and stderr (text)."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
                          env={**os.environ, **(env or {})})
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode(errors="replace")
    return done


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


class Scratch(unittest.TestCase):
    """A test case with a directory of its own."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="espalier-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        return path

    def ok(self, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done

    def isas(self, compiled):
        """What ESPALIER_ISA takes in this build; what the CPU has not is passed over."""
        refusal = run("run", compiled, env={"ESPALIER_ISA": "?"}).stderr
        names = re.search(r"expected one of (.*), found", refusal).group(1).split(", ")
        self.assertEqual(names[0], "c")
        return names

    def model(self, name="model", head="qa", **config):
        """A checkpoint with random weights and a vocabulary trained on TEXT."""
        vocabulary = self.path("vocabulary")
        if not os.path.exists(vocabulary):
            self.ok("vocab", self.write("text.txt", TEXT), "--size", 200, "--min-frequency", 1, "-o",
                    vocabulary)
        labels, more = config.pop("labels", None), config.pop("init", [])
        shape = self.write(f"{name}.json", json.dumps({**TINY, **config}))
        arguments = ["init", shape, "--head", head, "--vocab", vocabulary, "--seed", 7, "-o", self.path(name)]
        if labels:
            arguments += ["--labels", labels]
        self.ok(*arguments, *more)
        return self.path(name)

    def case(self, name, weights):
        """A copy of tests/cases/NAME with the weights of tests/cases/common, and its tokenizer where it has none."""
        shutil.rmtree(self.path(name), ignore_errors=True)
        path = shutil.copytree(os.path.join(CASES, name), self.path(name))
        common = os.path.join(CASES, "common")
        shutil.copy(os.path.join(common, f"{weights}.safetensors"), os.path.join(path, "model.safetensors"))
        if not any(os.path.exists(os.path.join(path, file)) for file in ("tokenizer.json", "vocab.txt")):
            shutil.copy(os.path.join(common, "tokenizer.json"), path)
        return path

    def compiled(self, model):
        """The compiled file of a checkpoint, as near to it as one can be."""
        path = f"{model}.esp"
        self.ok("compile", model, "--precision", "fp32", "-o", path)
        return path


def read_safetensors(path):
    """(header, data bytes)"""
    with open(path, "rb") as stream:
        raw = stream.read()
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:8 + length]), raw[8 + length:]


def write_safetensors(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text + data)


def main():
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2)
