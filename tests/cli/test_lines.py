# SPDX-License-Identifier: Apache-2.0
"""Input lines as people send them: empty texts, members nobody reads, limits."""
import json
import os
import subprocess

import support
from support import run

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases")


def records(*items):
    return "".join(json.dumps(item) + "\n" for item in items)


class Lines(support.Scratch):
    def answers(self, model, *items, options=()):
        return support.lines(self.ok("run", model, *options, stdin=records(*items)))

    # ---- empty texts --------------------------------------------------------------------------------------------------

    def test_empty_text(self):
        model = os.path.join(CASES, "run-empty-text")
        with open(os.path.join(model, "in.jsonl"), encoding="utf-8") as stream:
            done = self.ok("run", model, stdin=stream.read())
        answer = json.loads(done.stdout)
        self.assertEqual(answer["label"], "LABEL_1")
        self.assertAlmostEqual(answer["score"], 0.872023, places=6)
        blank, empty, pair = self.answers(model, {"text": " "}, {"text": ""}, {"text": "", "pair": ""})
        self.assertEqual(blank, empty)
        self.assertNotIn("error", pair)

    def test_empty_text_of_other_tasks(self):
        tag = self.model("tag", head="token", labels="O,B-X")
        self.assertEqual(self.answers(tag, {"text": ""}), [[]])
        blank, empty = self.answers(self.model("bare", head="none"), {"text": " "}, {"text": ""})
        self.assertEqual(blank, empty)
        self.assertEqual(len(empty["embedding"]), 16)
        [tokens] = support.lines(self.ok("tokenize", tag, stdin=records({"text": ""})))
        self.assertEqual(tokens["tokens"], ["[CLS]", "[SEP]"])
        done = run("run", self.model("mlm", head="mlm"), stdin=records({"text": ""}))
        self.assertIn("line 1: expected a [MASK] in the text", support.lines(done)[0]["error"])

    def test_empty_question(self):
        model = self.model()
        good = {"question": "Who?", "context": "Ada wrote it."}
        lines = [good, {"question": "", "context": "Ada."}, {"question": "Who?", "context": ""}, good]
        done = run("run", model, stdin=records(*lines))
        self.assertEqual(done.returncode, 1)
        answers = support.lines(done)
        self.assertEqual(answers[0], answers[3])
        self.assertEqual(answers[1]["error"], "line 2: question: expected a text, found an empty one")
        self.assertEqual(answers[2]["error"], "line 3: context: expected a text, found an empty one")
        data = self.write("q.jsonl", records(*({**line, "id": i, "answers": {"text": [], "answer_start": []}}
                                               for i, line in enumerate(lines))))
        done = self.ok("eval", model, "--data", data, "-q", "-j")
        self.assertEqual(json.loads(done.stdout)["failed"], 2)
        self.assertIn('question "1": question: expected a text, found an empty one', done.stderr)

    # ---- members ------------------------------------------------------------------------------------------------------

    def test_unknown_members(self):
        model = os.path.join(CASES, "run-mlm-targets")
        with open(os.path.join(model, "in.jsonl"), encoding="utf-8") as stream:
            line = stream.read()
        done = self.ok("run", model, stdin=line * 2 + records({"text": "[MASK]", "top_k": 2, "id": 7, "targets": []}))
        self.assertEqual(len(done.stdout.splitlines()), 3)
        self.assertEqual(done.stderr.count("warning"), 1, done.stderr)
        self.assertIn("not known here and change nothing: targets, top_k (known are text, pair, text_pair, id)", done.stderr)
        strict = run("run", model, "--strict", stdin=line)
        self.assertEqual((strict.returncode, strict.stdout), (1, ""))
        self.assertIn("line 1: targets: not known here: the members of a line are text, pair, text_pair, id",
                      strict.stderr)

    def test_known_members(self):
        model = self.model()
        for arguments, line in {("run", model): {"question": "Who?", "context": "Ada.", "id": {"a": 1}},
                                ("run", model, "--raw"): {"input_ids": [2, 9, 3], "token_type_ids": [0, 0, 0],
                                                          "attention_mask": [1, 1, 1], "id": 1},
                                ("tokenize", model): {"text": "a", "pair": "b", "id": None}}.items():
            with self.subTest(arguments):
                self.assertEqual(self.ok(*arguments, "--strict", stdin=records(line)).stderr, "")
                done = self.ok(*arguments, stdin=records({**line, "x": 1}))
                self.assertIn("change nothing: x (known are", done.stderr)

    def test_many_unknown_members(self):
        done = self.ok("tokenize", self.model(), stdin=records({"text": "a", **{f"member{i:02}": i for i in range(40)}}))
        self.assertEqual(done.stderr.count("member"), 1 + 16, done.stderr)
        self.assertIn("member15, … (known are text, pair, id)", done.stderr)

    def test_other_names(self):
        model = self.model("two", head="sequence", labels="no,yes")
        for name in ("inputs", "sentence", "query"):
            [answer] = support.lines(run("run", model, stdin=records({name: "Ada"})))
            self.assertEqual(answer["error"], f"line 1: text: expected a string, found nothing; the members are {name}")

    # ---- long questions -----------------------------------------------------------------------------------------------

    def test_cut_questions(self):
        model = self.model(max_position_embeddings=128)
        long = {"question": "Who is this? " * 30, "context": "Ada wrote it."}
        short = {"question": "Who?", "context": "Ada wrote it."}
        done = self.ok("run", model, stdin=records(short, long, long))
        self.assertEqual(done.stderr.count("warning"), 1, done.stderr)
        self.assertRegex(done.stderr, r"warning: line 2: the question has \d+ tokens and is cut to 64")
        self.assertEqual(self.ok("run", model, stdin=records(short)).stderr, "")

    # ---- limits -------------------------------------------------------------------------------------------------------

    def test_long_lines(self):
        """A line beyond the limit is answered in its place, wherever its end lies; those around it are answered."""
        model = self.model()
        raw = {"input_ids": [2, 9, 3]}
        for arguments, line in {("run", model): {"question": "Who?", "context": "Ada."}, ("run", model, "--raw"): raw,
                                ("tokenize", model): {"text": "Ada"}}.items():
            good = json.dumps(line)
            for length in (101, 65536, 65537, 200000):
                with self.subTest((arguments, length)):
                    done = run(*arguments, "--max-line", 100, stdin="\n".join([good, "x" * length, good, "y" * length]))
                    answers = support.lines(done)
                    self.assertEqual((len(answers), done.returncode), (4, 1), done.stderr)
                    self.assertEqual(answers[0], answers[2])
                    for at in (1, 3):
                        self.assertEqual(answers[at], {"line": at + 1, "error": f"line {at + 1}: expected at most 100 bytes, "
                                                       "found more (--max-line)"})
            exact = good + " " * (100 - len(good))
            self.assertEqual(len(self.ok(*arguments, "--max-line", 100, stdin=exact).stdout.splitlines()), 1)
        strict = run("run", model, "--max-line", 100, "--strict", stdin="x" * 200 + "\n")
        self.assertEqual((strict.returncode, strict.stdout), (1, ""))

    def test_default_limit(self):
        model = self.model()
        good = records({"question": "Who?", "context": "Ada."})
        answers = support.lines(run("run", model, stdin=good + records({"question": "Who?", "context": "a" * 20000000}) + good))
        self.assertEqual(answers[1]["error"], "line 2: expected at most 16777216 bytes, found more (--max-line)")
        self.assertEqual(answers[0], answers[2])

    def test_memory_for_one_line(self):
        """What does not fit into memory costs its own line alone."""
        model = self.model()
        good = records({"question": "Who?", "context": "Ada."})
        text = good + records({"question": "Who?", "context": "a " * 7000000}) + good

        def limited(limit, stdin):
            command = f"ulimit -v {limit}; exec '{support.PROGRAM}' run '{model}' --threads 1"
            return subprocess.run(["bash", "-c", command], input=stdin.encode(), capture_output=True, timeout=120)

        for limit in (120000, 160000, 200000):
            with self.subTest(limit):
                if limited(limit, good).returncode:
                    self.skipTest("not even a short line fits: sanitizers take all of the address space")
                done = limited(limit, text)
                answers = [json.loads(line) for line in done.stdout.splitlines()]
                self.assertEqual((len(answers), done.returncode), (3, 1), done.stderr)
                self.assertIn("out of memory", answers[1]["error"])
                self.assertEqual(answers[1]["line"], 2)
                self.assertEqual(answers[0], answers[2])


if __name__ == "__main__":
    support.main()
