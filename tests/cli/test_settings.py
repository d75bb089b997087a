# SPDX-License-Identifier: Apache-2.0
"""Settings in the files beside the weights: applied, refused or warned about, alike for a checkpoint and its compiled
file."""
import json
import os

import support


def change_json(path, **changes):
    """Sets members of a JSON file; None removes one."""
    value = {}
    if os.path.exists(path):
        with open(path) as stream:
            value = json.load(stream)
    for key, new in changes.items():
        if new is None:
            value.pop(key, None)
        else:
            value[key] = new
    with open(path, "w") as stream:
        json.dump(value, stream)


class Warnings(support.Scratch):
    """What is not applied is said when a checkpoint is opened, and stays in what is compiled from it."""

    def test_kept(self):
        model = self.model()
        change_json(os.path.join(model, "config.json"), rope_theta=10000.0, use_cache=True, name="é" * 200)
        texts = ["config.json: rope_theta: 10000.0 is not applied: this member is not known",
                 'config.json: name: "' + "é" * 29 + "... is not applied: this member is not known"]
        done = self.ok("compile", model, "-o", self.path("m.esp"))
        for text in texts:
            self.assertEqual(done.stderr.count(f"warning: {model}/{text}\n"), 1, done.stderr)
        self.assertNotIn("use_cache", done.stderr)
        done = self.ok("info", "--json", model)
        self.assertEqual(json.loads(done.stdout)["warnings"], texts)
        self.assertEqual(done.stderr.count("rope_theta"), 1)
        done = self.ok("info", "--json", self.path("m.esp"))
        self.assertEqual(json.loads(done.stdout)["warnings"], texts)
        self.assertEqual(done.stderr, "")
        self.assertIn(f"warning       {texts[0]}\n", self.ok("info", self.path("m.esp")).stdout)

    def test_same_bytes_from_anywhere(self):
        """A compiled file does not depend on where its checkpoint stood."""
        model = self.model()
        change_json(os.path.join(model, "config.json"), rope_theta=10000.0)
        self.ok("compile", model, "-o", self.path("a.esp"))
        os.rename(model, self.path("moved"))
        self.ok("compile", self.path("moved") + "/", "-o", self.path("b.esp"))
        with open(self.path("a.esp"), "rb") as a, open(self.path("b.esp"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_none(self):
        model = self.model()
        done = self.ok("compile", model, "-o", self.path("m.esp"))
        self.assertNotIn("warning", done.stderr)
        self.assertEqual(json.loads(self.ok("info", "--json", self.path("m.esp")).stdout)["warnings"], [])


class Labels(support.Scratch):
    """What becomes of the outputs of a sequence head, against transformers and sentence-transformers."""
    LOGIT = -0.205945671
    SIGMOID = 0.448695

    def check(self, model, label, score):
        """The same answer from the checkpoint and from its compiled file."""
        for path in (model, self.compiled(model)):
            with open(os.path.join(model, "in.jsonl")) as stream:
                answer = support.lines(self.ok("run", path, stdin=stream.read()))[0]
            self.assertEqual(answer["label"], label)
            self.assertAlmostEqual(answer["score"], score, delta=1e-5 if path == model else 2e-3)

    def test_label2id(self):
        """Answers need id2label only."""
        for name in ("clf-label2id-default-left", "clf-label2id-strings"):
            self.check(self.case(name, "classify"), "pos", 0.835948)

    def test_names(self):
        labels = ({"0": "neg", "1": "pos"}, {"1": 7, "0": "neg"}, {"00": "a", "01": "a"})
        for number, id2label in enumerate(labels):
            model = self.case("clf-label2id-strings", "classify")
            change_json(os.path.join(model, "config.json"), id2label=id2label, label2id=None, num_labels=3)
            self.check(model, str(list(id2label.values())[1 if number != 1 else 0]), 0.835948)
            self.assertIn("config.json: num_labels: is not applied: id2label has 2 labels",
                          self.ok("info", model).stderr)
            support.shutil.rmtree(model)

    def test_rows_decide(self):
        model = self.case("clf-label2id-strings", "classify")
        change_json(os.path.join(model, "config.json"), id2label={"0": "a", "1": "b", "2": "c"})
        done = support.run("run", model)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model.safetensors: classifier.weight: expected 3 rows, the number of labels in config.json (id2label), "
                      "found 2", done.stderr)
        change_json(os.path.join(model, "config.json"), id2label=None, label2id=None, num_labels=5)
        self.assertIn("expected 5 rows, the number of labels in config.json (num_labels), found 2",
                      support.run("run", model).stderr)

    def test_one_label(self):
        sentence = "sentence_transformers"
        identity, sigmoid = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"
        cases = (({}, self.SIGMOID),
                 ({"problem_type": "single_label_classification"}, self.SIGMOID),
                 ({"problem_type": "multi_label_classification"}, self.SIGMOID),
                 ({"problem_type": "regression"}, self.LOGIT),
                 ({sentence: {"activation_fn": identity, "version": "4.1.0"}}, self.LOGIT),
                 ({sentence: {"activation_fn": sigmoid}}, self.SIGMOID),
                 ({"problem_type": "regression", sentence: {"activation_fn": sigmoid}}, self.SIGMOID),
                 ({"sbert_ce_default_activation_function": identity}, self.LOGIT))
        for changes, score in cases:
            with self.subTest(changes):
                model = self.case("clf-one-label-default", "one-label")
                change_json(os.path.join(model, "config.json"), **changes)
                self.check(model, "LABEL_0", score)
                self.assertEqual(self.ok("info", model).stderr, "")
                support.shutil.rmtree(model)

    def test_one_label_evaluated(self):
        """Numbers are compared with raw outputs."""
        model = self.case("clf-one-label-default", "one-label")
        data = self.write("d.tsv", f"text\tlabel\nhe is good . the movie was great\t{self.LOGIT}\nhe\t0\n")
        self.ok("eval", model, "--data", data, "--save", self.path("p.jsonl"))
        with open(self.path("p.jsonl")) as stream:
            first = float(stream.readline())
        self.assertAlmostEqual(first, self.LOGIT, places=5)

    def test_other_activation(self):
        model = self.case("clf-one-label-default", "one-label")
        change_json(os.path.join(model, "config.json"),
                    sentence_transformers={"activation_fn": "torch.nn.modules.activation.Tanh"})
        done = support.run("run", model)
        self.assertEqual(done.returncode, 1)
        self.assertIn('config.json: sentence_transformers.activation_fn: "torch.nn.modules.activation.Tanh" is not supported',
                      done.stderr)


if __name__ == "__main__":
    support.main()
