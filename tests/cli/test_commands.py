# SPDX-License-Identifier: Apache-2.0
"""The commands on good inputs: what they print, and that it does not depend on batches and threads."""
import json
import os
import random
import re
import subprocess
import time

import support
from support import lines, run

WORDS = re.findall(r"[A-Za-z]+", support.TEXT)


def sentence(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


class General(support.Scratch):
    def test_version_and_help(self):
        self.assertRegex(self.ok("--version").stdout, r"^espalier \d+\.\d+\.\d+\n$")
        commands = re.findall(r"^  ([a-z]+)  ", self.ok("--help").stdout, re.M)
        self.assertEqual(commands, ["demo", "run", "eval", "train", "prune", "compile", "info", "bench", "tokenize",
                                    "vocab", "init"])
        for command in commands:
            text = self.ok(command, "--help").stdout
            self.assertTrue(text.startswith(f"Usage: espalier {command}"), text)

    def test_compiled_files_need_no_onednn(self):
        """It would be half of the time of a start; where it cannot be loaded, only checkpoints miss it."""
        with open(support.PROGRAM, "rb") as program:
            library = re.search(rb"libdnnl\.so[.0-9]*", program.read()).group().decode()
        model, line = self.model(), json.dumps({"question": "Who?", "context": "Ada wrote it."}) + "\n"
        self.ok("compile", model, "-o", self.path("model.esp"))
        self.write(f"none/{library}", "")
        without = {"LD_LIBRARY_PATH": self.path("none")}
        self.assertEqual(self.ok("run", self.path("model.esp"), stdin=line, env=without).stdout,
                         self.ok("run", self.path("model.esp"), stdin=line).stdout)
        failed = run("run", model, stdin=line, env=without)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("espalier run: oneDNN: cannot load ", failed.stderr)


class Run(support.Scratch):
    def answers(self, model, items, *arguments, **options):
        stdin = "".join(json.dumps(item) + "\n" for item in items)
        return lines(self.ok("run", model, *arguments, stdin=stdin, **options))

    def test_question_answering(self):
        model, rng = self.model(), random.Random(1)
        items = [{"id": i, "question": sentence(rng, 2, 6), "context": sentence(rng, 1, 150)} for i in range(40)]
        first = self.answers(model, items)
        self.assertEqual([a["id"] for a in first], list(range(40)))
        for item, answer in zip(items, first):
            self.assertEqual(item["context"][answer["start"]:answer["end"]], answer["answer"])
            self.assertGreater(answer["score"], 0)
        for arguments in (["--batch-tokens", "64"], ["--batch-tokens", "100000"], ["--threads", "1"],
                          ["--threads", "3"]):
            self.assertEqual(self.answers(model, items, *arguments), first, arguments)
        for item, answer in zip(items, first):  # alone as among others
            self.assertEqual(self.answers(model, [item]), [answer])
            break
        top = self.answers(model, items[:3], "--top-k", "4")
        for answer in top:
            scores = [a["score"] for a in answer["result"]]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertEqual(len(scores), 4)

    def test_id_of_any_type_is_echoed(self):
        model = self.model()
        ids = [0, "x", 1.5, [1, {"a": None}], {"k": "v"}, True]
        items = [{"question": "Who?", "context": "Ada wrote.", "id": i} for i in ids]
        self.assertEqual([a["id"] for a in self.answers(model, items)], ids)
        self.assertNotIn("id", self.answers(model, [{"question": "Who?", "context": "Ada wrote."}])[0])

    def test_classify(self):
        model = self.model(head="sequence", labels="good,bad,ugly", architectures=["BertForSequenceClassification"])
        one, = self.answers(model, [{"text": "Ada wrote it."}])
        self.assertIn(one["label"], ["good", "bad", "ugly"])
        every, = self.answers(model, [{"text": "Ada wrote it.", "pair": "In London."}], "--top-k", "all")
        self.assertAlmostEqual(sum(r["score"] for r in every), 1, places=5)

    def test_tag(self):
        model = self.model(head="token", labels="O,B-PER,I-PER", architectures=["BertForTokenClassification"])
        text = "Ada Lovelace lived in London"
        for aggregation in ("none", "simple", "first", "average", "max"):
            answer, = self.answers(model, [{"text": text}], "--aggregation", aggregation, "--ignore-label", "none")
            self.assertTrue(answer)
            for entity in answer:
                self.assertIn("entity" if aggregation == "none" else "entity_group", entity)
                self.assertTrue(0 <= entity["start"] < entity["end"] <= len(text))

    def test_embed(self):
        model = self.model(head="none", architectures=["BertModel"])
        one, two = self.answers(model, [{"text": "Ada wrote it."}, {"text": "Paris is in France."}])
        self.assertEqual(len(one["embedding"]), 16)
        self.assertNotEqual(one, two)

    def test_mlm(self):
        model = self.model(head="mlm", architectures=["BertForMaskedLM"])
        answer, = self.answers(model, [{"text": "Ada wrote the [MASK] program."}], "--top-k", "3")
        self.assertEqual(len(answer), 3)
        for guess in answer:
            self.assertIn(guess["token_str"].removeprefix("##"), guess["sequence"])

    def test_raw(self):
        model, rng = self.model(), random.Random(2)
        items = [{"id": i, "input_ids": [rng.randrange(200) for _ in range(rng.randint(1, 64))]} for i in range(50)]
        first = self.answers(model, items, "--raw")
        for item, answer in zip(items, first):
            self.assertEqual(len(answer["start_logits"]), len(item["input_ids"]))
        self.assertEqual(self.answers(model, items, "--raw", "--batch-tokens", "1"), first)
        self.assertEqual(self.answers(model, items[::-1], "--raw"), first[::-1])
        hidden = self.model("bare", head="none", architectures=["BertModel"])
        answer = self.answers(hidden, items[:1], "--raw")[0]["hidden"]
        self.assertEqual((len(answer), len(answer[0])), (len(items[0]["input_ids"]), 16))

    def test_answers_come_while_the_input_is_open(self):
        """One question at a time through pipes: each is answered before the next is asked."""
        model = self.model()
        process = subprocess.Popen([support.PROGRAM, "run", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for i in range(5):  # a blank line behind it is no reason to wait
            line = json.dumps({"id": i, "question": "Who?", "context": "Ada wrote it."}) + "\n" + i * " \r\n"
            process.stdin.write(line.encode())
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline())["id"], i)
        process.stdin.close()
        self.assertEqual(process.wait(timeout=30), 0)
        process.stdout.close()

    def test_interrupt_ends_cleanly(self):
        model = self.model()
        process = subprocess.Popen([support.PROGRAM, "run", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdin.write(b'{"question": "Who?", "context": "Ada wrote it."}\n')
        process.stdin.flush()
        self.assertIn(b"answer", process.stdout.readline())
        process.terminate()
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"interrupted after line 1", errors)

    def test_memory_does_not_grow_with_the_input(self):
        model, rng = self.model(), random.Random(3)
        text = "".join(json.dumps({"question": sentence(rng, 2, 6), "context": sentence(rng, 5, 20)}) + "\n"
                       for _ in range(500))

        # the address sanitizer keeps freed memory for a while, by default more than this test looks at
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        environment = dict(os.environ, ASAN_OPTIONS=sanitizer.lstrip(":"))

        def peak(repeats):
            path = self.write("input.jsonl", text * repeats)
            process = subprocess.Popen([support.PROGRAM, "run", model, "--input", path], stdout=subprocess.DEVNULL,
                                       env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.assertEqual(status, 0)
            return usage.ru_maxrss
        small, large = peak(1), peak(6)
        self.assertLess(large, small * 1.1 + 4096, "KiB at 500 and at 3,000 lines")

class Eval(support.Scratch):
    def squad(self, count):
        rng, paragraphs = random.Random(4), []
        for i in range(count):
            context = sentence(rng, 5, 30)
            answer = context.split()[i % 5]
            paragraphs.append({"context": context, "qas": [{"id": f"q{i}", "question": "Who?", "answers": [
                {"text": answer, "answer_start": context.index(answer)}]}]})
        return self.write("squad.json", json.dumps({"version": "1.1", "data": [{"title": "t",
                                                                                "paragraphs": paragraphs}]}))

    def test_saved_predictions_score_the_same(self):
        model, data = self.model(), self.squad(30)
        report = json.loads(self.ok("eval", model, "--data", data, "--json", "--save", self.path("p.json")).stdout)
        self.assertEqual(report["examples"], 30)
        again = json.loads(self.ok("eval", "--task", "qa", "--data", data, "--predictions", self.path("p.json"),
                                   "--json").stdout)
        for figure in ("exact_match", "f1"):
            self.assertEqual(report[figure], again[figure])
        text = self.ok("eval", model, "--data", data, "--limit", "3").stdout
        self.assertRegex(text, r"(?m)^examples +3$")

    def test_classify_saved_predictions(self):
        model = self.model(head="sequence", labels="0,1", architectures=["BertForSequenceClassification"])
        rng = random.Random(5)
        data = self.write("d.tsv", "sentence\tlabel\n" + "".join(
            f"{sentence(rng, 3, 9)}\t{rng.randint(0, 1)}\n" for _ in range(40)))
        report = json.loads(self.ok("eval", model, "--data", data, "--json", "--save", self.path("p.txt")).stdout)
        again = json.loads(self.ok("eval", "--task", "classify", "--data", data, "--predictions", self.path("p.txt"),
                                   "--json").stdout)
        self.assertEqual(report["accuracy"], again["accuracy"])

    def test_tags_of_other_names(self):
        model = self.model(head="token", labels="O,B-PER,I-PER", architectures=["BertForTokenClassification"])
        data = self.write("data.conll", "Ada B-person\nLovelace I-person\nlived O\n\nParis B-place\n")
        done = self.ok("eval", model, "--task", "tag", "--data", data)
        self.assertIn('warning: 3 of 4 words have a tag that the model does not know, the first "B-person"', done.stderr)
        own = self.write("own.conll", "Ada B-PER\nLovelace I-PER\nlived O\n")
        self.assertNotIn("warning", self.ok("eval", model, "--task", "tag", "--data", own).stderr)

    def test_tag_saved_predictions(self):
        model = self.model(head="token", labels="O,B-PER,I-PER", architectures=["BertForTokenClassification"])
        data = self.write("d.conll", "Ada B-PER\nLovelace I-PER\nwrote O\n\nParis O\nis O\n")
        report = json.loads(self.ok("eval", model, "--data", data, "--json", "--save", self.path("p.txt")).stdout)
        again = json.loads(self.ok("eval", "--task", "tag", "--data", data, "--predictions", self.path("p.txt"),
                                   "--json").stdout)
        self.assertEqual(report["accuracy"], again["accuracy"])
        self.assertEqual(report["f1"], again["f1"])

    def test_interrupt_leaves_no_file(self):
        model, data = self.model(), self.squad(20000)
        process = subprocess.Popen([support.PROGRAM, "eval", model, "--data", data, "--save", self.path("p.json"),
                                    "--batch-tokens", "64", "--threads", "1"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        while not [name for name in os.listdir(self.dir) if name.startswith("p.json")]:
            time.sleep(0.01)  # until it writes
        process.terminate()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn(b"interrupted", errors)
        self.assertFalse([name for name in os.listdir(self.dir) if name.startswith("p.json")])


class Others(support.Scratch):
    def test_info(self):
        model = self.model()
        report = json.loads(self.ok("info", model, "--json").stdout)
        self.assertEqual((report["layers"], report["hidden"], report["task"]), (2, 16, "qa"))
        self.assertEqual(len(report["linear_layers"]), 12)
        self.assertEqual(report["sparsity"], 0)
        self.assertIn("2 layers, hidden 16", self.ok("info", model).stdout)
        self.assertIn("tokenizer     WordPiece, ", self.ok("info", model).stdout)

    def test_tokenize(self):
        model = self.model()
        text = "Ada wrote the clocks, in London!"
        answer, = lines(self.ok("tokenize", model, stdin=json.dumps({"text": text, "id": 5}) + "\n"))
        self.assertEqual(answer["id"], 5)
        self.assertEqual(answer["tokens"][0], "[CLS]")
        for token, (begin, end) in zip(answer["tokens"][1:-1], answer["offsets"][1:-1]):
            self.assertEqual(token.removeprefix("##"), text[begin:end].lower())
        self.assertEqual(answer["overflow"], [])
        cut, = lines(self.ok("tokenize", model, "--max-length", "8", "--stride", "2", "--whole-text",
                             stdin=json.dumps({"text": text * 3}) + "\n"))
        self.assertEqual(len(cut["ids"]), 8)
        windows = [cut] + cut["overflow"]
        for before, after in zip(windows, windows[1:]):
            self.assertEqual(before["ids"][-3:-1], after["ids"][1:3])
        self.assertEqual(windows[-1]["offsets"][-2][1], len(text * 3), "the windows reach the end of the text")

    def test_init_is_reproducible(self):
        for name in ("a", "b"):
            self.ok("init", "bert-tiny", "--random-vocab", "--seed", "3", "-o", self.path(name))
        self.ok("init", "bert-tiny", "--random-vocab", "--seed", "4", "-o", self.path("c"))
        data = []
        for name in "abc":
            with open(self.path(name, "model.safetensors"), "rb") as stream:
                data.append(stream.read())
        self.assertEqual(data[0], data[1])
        self.assertNotEqual(data[0], data[2])
        answer, = lines(self.ok("tokenize", self.path("a"), stdin='{"text": "Hello, world"}\n'))
        self.assertNotIn("[UNK]", answer["tokens"])

    def test_vocab(self):
        self.ok("vocab", self.write("text.txt", support.TEXT), "--size", 150, "-o", self.path("v"))
        with open(self.path("v", "vocab.txt")) as stream:
            words = stream.read().split("\n")[:-1]
        self.assertEqual(words[:5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        self.assertEqual(len(words), len(set(words)))
        self.assertLessEqual(len(words), 150)


if __name__ == "__main__":
    support.main()
