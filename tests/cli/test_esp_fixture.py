# SPDX-License-Identifier: Apache-2.0
"""Compiled files that an earlier version made are opened and give the same answers, on every instruction set."""
import json
import lzma
import os

import support

FOLDER = os.path.join(support.CASES, "esp-5")
LINES = {
    "qa": [{"question": "Who wrote it?", "context": "Ada Lovelace wrote it in 1843."},
           {"question": "Où?", "context": "In the café, near the École; nobody knew. " * 12}],
    "classify": [{"text": "Training is fast."}, {"text": "Données à lire, [MASK] ok!", "pair": "x"}, {"text": ""}],
    "embed": [{"text": "Training is fast."}, {"text": "a" * 300}],
}
OPTIONS = {"qa": ("--top-k", "3"), "classify": ("--top-k", "all"), "embed": ()}


class Fixture(support.Scratch):
    def test_answers(self):
        for name in LINES:
            with lzma.open(os.path.join(FOLDER, f"{name}.esp.xz")) as stream:
                model = self.write(f"{name}.esp", stream.read())
            with open(os.path.join(FOLDER, f"{name}.jsonl"), encoding="utf-8") as stream:
                expected = stream.read()
            stdin = "".join(json.dumps(line) + "\n" for line in LINES[name])
            for isa in self.isas(model):
                done = self.ok("run", model, *OPTIONS[name], stdin=stdin, env={"ESPALIER_ISA": isa})
                self.assertEqual(done.stdout, expected, (name, isa))


if __name__ == "__main__":
    support.main()
