# SPDX-License-Identifier: Apache-2.0
"""espalier compile, and the other commands on what it writes."""
import json
import os

import support
from support import lines, run

DATA = "text\tlabel\n" + "".join(f"{line}\tyes\n" for line in support.TEXT.splitlines())
QUESTION = json.dumps({"question": "Where did Ada live?", "context": support.TEXT.splitlines()[0]}) + "\n"


class Compile(support.Scratch):
    def compiled(self, model, *options, name="model.esp"):
        self.ok("compile", model, "-o", self.path(name), *options)
        return self.path(name)

    def test_answers_as_the_checkpoint(self):
        model = self.model()
        for options in ((), ("--calibrate", self.squad()), ("--calibrate", self.squad(), "--percentile", "99.9")):
            compiled = self.compiled(model, *options)
            expected, found = (lines(self.ok("run", m, "--raw", stdin='{"input_ids": [2, 9, 17, 30, 3]}\n'))[0]
                               for m in (model, compiled))
            for key in ("start_logits", "end_logits"):
                for a, b in zip(expected[key], found[key]):
                    self.assertAlmostEqual(a, b, delta=0.01)
            self.assertIn("answer", lines(self.ok("run", compiled, stdin=QUESTION))[0])

    def squad(self):
        context = support.TEXT.splitlines()[0]
        answer = {"text": "London", "answer_start": context.index("London")}
        record = {"context": context, "qas": [{"id": "1", "question": "Where?", "answers": [answer]}]}
        return self.write("squad.json", json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [record]}]}))

    def test_every_head(self):
        for head, extra, key in (("sequence", {"labels": "no,yes"}, "label"), ("token", {"labels": "O,B-X"}, None),
                                 ("mlm", {}, None), ("none", {}, "embedding")):
            model = self.model(head, head=head, **extra)
            compiled = self.compiled(model, name=f"{head}.esp")
            text = "Ada [MASK] in London." if head == "mlm" else "Ada lived in London."
            answer = lines(self.ok("run", compiled, stdin=json.dumps({"text": text}) + "\n"))[0]
            self.assertNotIn("error", answer)
            if key:
                self.assertIn(key, answer)

    def test_eval_and_tokenize(self):
        model = self.model(head="sequence", labels="no,yes")
        compiled = self.compiled(model, "--calibrate", self.write("d.tsv", DATA), "--samples", 3)
        report = json.loads(self.ok("eval", compiled, "--data", self.path("d.tsv"), "--json").stdout)
        self.assertEqual(report["failed"], 0)
        stdin = json.dumps({"text": "Ada Lovelace"}) + "\n"
        self.assertEqual(lines(self.ok("tokenize", compiled, stdin=stdin)), lines(self.ok("tokenize", model, stdin=stdin)))

    def test_same_answers_on_every_isa_and_thread_count(self):
        compiled = self.compiled(self.model())
        answers = {run("run", compiled, stdin=QUESTION, env={"ESPALIER_ISA": isa, "ESPALIER_THREADS": threads}).stdout
                   for isa in ("c", "avx2", "avx512vnni") for threads in ("1", "3")}
        self.assertEqual(len(answers), 1)

    def test_report_is_reproducible(self):
        model = self.model()
        report = json.loads(self.ok("compile", model, "-o", self.path("a.esp"), "--json").stdout)
        self.assertEqual(report["bytes"], os.path.getsize(self.path("a.esp")))
        self.assertEqual(len(report["linear_layers"]), 8)
        self.compiled(model, name="b.esp")
        with open(self.path("a.esp"), "rb") as a, open(self.path("b.esp"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_refusals(self):
        model = self.model()
        compiled = self.compiled(model)
        with open(compiled, "rb") as stream:
            raw = stream.read()
        damaged = bytearray(raw)
        damaged[len(raw) // 2] ^= 1
        for name, content, text in (("cut", raw[:-64], "cut short"), ("damaged", bytes(damaged), "damaged"),
                                    ("other", b"text", "expected a checkpoint directory")):
            done = run("run", self.write(f"{name}.esp", content), stdin=QUESTION)
            self.assertEqual(done.returncode, 1)
            self.assertIn(text, done.stderr)
        for arguments, code, text in (
                (["compile", model], 2, "--output"), (["compile", "-o", "x"], 2, "expected a CKPT"),
                (["compile", compiled, "-o", self.path("x.esp")], 1, "config.json"),
                (["compile", model, "-o", self.path("x.esp"), "--calibrate", self.path("none")], 1, "none"),
                (["compile", model, "-o", self.path("x.esp"), "--percentile", "3"], 2, "percentile")):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(text, done.stderr)
            self.assertFalse(os.path.exists(self.path("x.esp")))


if __name__ == "__main__":
    support.main()
