# SPDX-License-Identifier: Apache-2.0
"""Data sets as people have them: which forms are read, what the labels in them mean, and what is refused."""
import json
import os

import support
from support import run

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases")


def case(*parts):
    return os.path.join(CASES, *parts)


def records(*items):
    return "".join(json.dumps(item) + "\n" for item in items)


class DataForms(support.Scratch):
    def report(self, model, data, *more):
        return json.loads(self.ok("eval", model, "--data", data, "-q", "-j", *more).stdout)

    def figures(self, model, data, *more):
        """The report without the clock."""
        report = self.report(model, data, *more)
        return {key: value for key, value in report.items() if key not in ("seconds", "examples_per_s")}

    def refused(self, message, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stdout, "")

    # ---- several labels -----------------------------------------------------------------------------------------------

    def test_vectors(self):
        model = case("eval-multilabel-multihot")
        names = self.figures(model, os.path.join(model, "names.jsonl"))
        self.assertEqual(names["f1_micro"], 0.25)
        self.assertEqual(self.figures(model, os.path.join(model, "data.jsonl")), names)
        texts, rows = ["he is good", "she is bad", "the cat sat"], [[1, 0, 1], [0, 0, 1], [0, 1, 1]]
        with open(os.path.join(model, "config.json"), encoding="utf-8") as stream:
            labels = [name for _, name in sorted(json.load(stream)["id2label"].items())]
        forms = {
            "integers.jsonl": records(*({"text": t, "labels": r} for t, r in zip(texts, rows))),
            "booleans.json": json.dumps([{"text": t, "labels": [bool(v) for v in r]} for t, r in zip(texts, rows)]),
            "numbers.jsonl": records(*({"text": t, "labels": [i for i in range(3) if r[i]]}
                                       for t, r in list(zip(texts, rows))[::-1])),
            "text.csv": "text,labels\n" + "".join(f'{t},"{r}"\n' for t, r in zip(texts, rows)),
            "strings.jsonl": records(*({"text": t, "labels": str(r)} for t, r in zip(texts, rows))),
            "numpy.tsv": "text\tlabels\n" + "".join(f"{t}\t{str(r).replace(',', '')}\n" for t, r in zip(texts, rows)),
            "columns.csv": f"id,text,{','.join(labels)}\n" + "".join(f"7,{t},{r[0]},{r[1]},{r[2]}\n" for t, r in zip(texts, rows)),
            "members.jsonl": records(*({"text": t, **dict(zip(labels, r))} for t, r in zip(texts, rows))),
        }
        for name, content in forms.items():
            with self.subTest(name):
                self.assertEqual(self.figures(model, self.write(name, content)), names)

    def test_vectors_that_are_none(self):
        model = case("eval-multilabel-multihot")
        rows = [({"labels": [1, 0, 2]}, "expected 0 or 1 at place 2 of a list that is as long as the model's 3 labels"),
                ({"labels": [0.5, 0, 1]}, "expected 0 or 1 at place 0"), ({"labels": [1, 0, 0, 1]}, "expected 0 or 1 for each of the model's 3 labels, or label numbers, found 0 twice"),
                ({"labels": [5]}, "expected one of the model's 3 labels"), ({"good": 1, "x": 0}, "expected one of the model's 3 labels (a, b, c), found \"good\"")]
        for labels, message in rows:
            with self.subTest(str(labels)):
                self.refused(f"v.jsonl: line 1: {message}", "eval", model, "--data",
                             self.write("v.jsonl", records({"text": "a", **labels})), "-q")
        mixed = self.write("mixed.jsonl", records({"text": "a", "labels": [1, 0, 1]}, {"text": "b", "labels": [2]}))
        self.refused("line 2: expected a list of 0 or 1 for each of the 3 labels, as the first list of the file is, found 1",
                     "eval", model, "--data", mixed, "-q")

    def test_training_learns_the_vectors(self):
        """The same labels, as names and as vectors, train the same weights."""
        trained = []
        texts = ["Ada wrote", "the engine", "Paris is", "Berlin is"] * 4
        names = [["a"], ["b", "c"], [], ["a", "c"]] * 4
        model = self.model("multi", head="sequence", labels="a,b,c", init=["--problem", "multi-label"])
        for how in ("names", "vectors"):
            rows = [n if how == "names" else [float(x in n) for x in "abc"] for n in names]
            data = self.write(f"{how}.jsonl", records(*({"text": t, "labels": r} for t, r in zip(texts, rows))))
            out = self.path(f"out-{how}")
            self.ok("train", model, "--task", "classify", "--train", data, "--max-steps", 3, "--batch-size", 4, "-o", out,
                    "-q")
            with open(os.path.join(out, "model.safetensors"), "rb") as stream:
                trained.append(stream.read())
        self.assertEqual(trained[0], trained[1])

    def test_one_label(self):
        model = self.model("two", head="sequence", labels="no,yes")
        want = self.figures(model, self.write("w.tsv", "text\tlabel\nAda\tyes\nLondon\tno\n"))
        for name, labels in {"numbers": [1, 0], "floats": [1.0, 0.0], "booleans": [True, False], "text": ["LABEL_1", "0"],
                             "Python": ["True", "False"]}.items():
            with self.subTest(name):
                data = self.write(f"{name}.jsonl", records({"text": "Ada", "label": labels[0]},
                                                           {"text": "London", "label": labels[1]}))
                self.assertEqual(self.figures(model, data), want)

    # ---- words and questions ------------------------------------------------------------------------------------------

    def test_words(self):
        model = case("eval-tag-jsonl")
        report = self.report(model, os.path.join(model, "ner.jsonl"))
        self.assertEqual((report["words"], report["examples"], report["entities"]), (3, 1, 1))
        self.assertAlmostEqual(report["accuracy"], 100 / 3, places=6)
        with open(os.path.join(model, "ner.jsonl"), encoding="utf-8") as stream:
            record = json.loads(stream.readline())
        with open(os.path.join(model, "config.json"), encoding="utf-8") as stream:
            labels = json.load(stream)["id2label"]
        names = [labels[str(tag)] for tag in record["ner_tags"]]
        want = self.figures(model, os.path.join(model, "ner.jsonl"))
        columns = "".join(f"{w} {t}\n" for w, t in zip(record["tokens"], names))
        self.assertEqual(self.figures(model, self.write("a.conll", columns)), want)
        listed = self.write("a.json", json.dumps([{"words": record["tokens"], "tags": names}], indent=1))
        self.assertEqual(self.figures(model, listed), want)
        turned = self.write("turned.conll", "".join(f"{t} {w}\n" for w, t in zip(record["tokens"], names)))
        self.refused("words has a tag that the model knows", "eval", model, "--data", turned, "-q")
        saved = self.path("saved")
        self.ok("eval", model, "--data", listed, "--save", saved, "-q")
        self.assertEqual(self.report(model, listed, "--predictions", saved)["accuracy"], want["accuracy"])
        beyond = self.write("b.jsonl", records({"tokens": ["a"], "ner_tags": [0]}, {"tokens": ["a"], "ner_tags": [99]}))
        self.refused("b.jsonl: line 2: expected a tag's number from 0 to", "eval", model, "--data", beyond, "-q")
        self.refused("b.jsonl: line 2: expected a tag's number from 0 to", "train", model, "--task", "tag", "--train", beyond,
                     "--max-steps", 1, "-o", self.path("out"))
        numbers = os.path.join(model, "ner.jsonl")
        self.refused("the tags are numbers: expected a MODEL", "eval", "--task", "tag", "--data", numbers, "--predictions",
                     saved)

    def test_questions(self):
        model = case("eval-squad-forms")
        self.assertEqual(self.report(model, os.path.join(model, "flat.jsonl"))["total"], 1)
        report = self.report(model, os.path.join(model, "int-id.json"))
        self.assertEqual((report["total"], report["HasAns_total"]), (1, 1))
        with open(os.path.join(model, "flat.jsonl"), encoding="utf-8") as stream:
            flat = json.loads(stream.readline())
        want = self.figures(model, os.path.join(model, "flat.jsonl"))
        answers = [{"text": t, "answer_start": s} for t, s in zip(*(flat["answers"][k] for k in ("text", "answer_start")))]
        nested = {"data": [{"paragraphs": [{"context": flat["context"],
                                            "qas": [{"question": flat["question"], "id": 7, "answers": answers}]}]}]}
        forms = {"nested.json": nested, "array.json": [flat], "data.json": {"data": [flat]}, "one.json": flat}
        for name, content in forms.items():
            with self.subTest(name):
                data = self.write(name, json.dumps(content, indent=2))
                self.assertEqual(self.figures(model, data), want)
                saved = self.path("saved")
                self.ok("eval", model, "--data", data, "--save", saved, "-q")
                again = self.report(model, data, "--predictions", saved)
                self.assertEqual((again["f1"], again["missing"]), (want["f1"], 0))

        self.refused("b.json: line 1: id: expected a string or an integer of 64 bits, found 1.5", "eval", model, "--data",
                     self.write("b.json", json.dumps({**flat, "id": 1.5})), "-q")

    # ---- every command that reads data --------------------------------------------------------------------------------

    def test_foreign_files(self):
        model = self.model("two", head="sequence", labels="no,yes")
        parquet = self.write("a.parquet", b"PAR1\x15\x04\x15")
        message = "a.parquet: expected TSV, CSV, JSON Lines or a JSON array of objects, found a Parquet file"
        self.refused(message, "eval", model, "--data", parquet)
        self.refused(message, "train", model, "--task", "classify", "--train", parquet, "--max-steps", 1, "-o", self.path("o"))
        self.refused(message, "compile", model, "--calibrate", parquet, "-o", self.path("o"))
        self.refused(message, "prune", model, "--calibrate", parquet, "--score", "obert", "--sparsity", 0.5, "-o",
                     self.path("o"))
        wide = self.write("wide.csv", "text,label\nAda,yes\n".encode("utf-16"))
        self.refused("found UTF-16 text: convert it to UTF-8", "eval", model, "--data", wide)

    def test_pipes(self):
        """What stands in a pipe is looked at without being lost."""
        model = self.model("two", head="sequence", labels="no,yes")
        for name, text in {"lines": records({"text": "Ada", "label": "yes"}),
                           "array": json.dumps([{"text": "Ada", "label": "yes"}]),
                           "table": "text\tlabel\nAda\tyes\n"}.items():
            with self.subTest(name):
                done = self.ok("eval", model, "--data", "-", "-q", "-j", stdin=text)
                self.assertEqual(json.loads(done.stdout)["examples"], 1)


if __name__ == "__main__":
    support.main()
