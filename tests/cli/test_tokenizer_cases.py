# SPDX-License-Identifier: Apache-2.0
"""The tokenizer's files, against transformers 4: what a checkpoint answers, and the same from its compiled file and from
what is trained on it."""
import json
import os

import support
from test_settings import change_json

OTHER_PROGRAMS = "programs that read tokenizer.json alone find other tokens"


class Tokenizer(support.Scratch):
    def input(self, model):
        with open(os.path.join(model, "in.jsonl")) as stream:
            return stream.read()

    def tokens(self, model, *options):
        """Ids from the checkpoint, which its compiled file gives, too; and the warnings."""
        done = self.ok("tokenize", model, *options, stdin=self.input(model))
        ids = support.lines(done)[0]["ids"]
        compiled = self.ok("tokenize", self.compiled(model), *options, stdin=self.input(model))
        self.assertEqual(compiled.stdout, done.stdout)
        self.assertEqual(compiled.stderr, "")
        return ids, done.stderr

    def answers(self, model, *options):
        """Answers of the checkpoint, which its compiled file gives, too; and the warnings."""
        done = self.ok("run", model, *options, stdin=self.input(model))
        answers = support.lines(done)
        for mine, other in zip(answers, support.lines(self.ok("run", self.compiled(model), *options,
                                                              stdin=self.input(model)))):
            mine, other = (x[0] if isinstance(x, list) else x for x in (mine, other))
            self.assertAlmostEqual(mine["score"], other["score"], delta=2e-3)
            self.assertEqual({**mine, "score": 0}, {**other, "score": 0})
        return answers, done.stderr

    def test_lower_case(self):
        for name, expected in (("tok-config-lower-absent", [2, 43, 52, 52, 55, 21, 3]),
                               ("tok-config-lower-false", [2, 45, 52, 1, 54, 48, 3])):
            model = self.case(name, "classify")
            ids, stderr = self.tokens(model)
            self.assertEqual(ids, expected)
            self.assertEqual(stderr.count("warning: "), 1, stderr)
            self.assertIn(OTHER_PROGRAMS, stderr)
            warnings = json.loads(self.ok("info", "--json", model + ".esp").stdout)["warnings"]
            self.assertEqual(len(warnings), 1)
            self.assertTrue(warnings[0].startswith("tokenizer.json: normalizer: lowercase "), warnings)

    def test_input_names(self):
        model = self.case("tok-model-input-names", "classify")
        answers, stderr = self.answers(model)
        self.assertEqual(answers[0]["label"], "LABEL_1")
        self.assertAlmostEqual(answers[0]["score"], 0.839661, places=5)
        self.assertIn("token_type_ids are not among the model's inputs", stderr)

    def test_mask_by_role(self):
        model = self.case("tok-roberta-names", "mlm")
        answers, stderr = self.answers(model, "--top-k", 1)
        self.assertEqual(answers[0][0]["token_str"], "they")
        self.assertAlmostEqual(answers[0][0]["score"], 0.097902, places=5)
        self.assertEqual(stderr, "")
        done = support.run("run", model, stdin='{"text": "no mask"}\n')
        self.assertIn("expected a <mask> in the text", done.stdout)
        # The same said by special_tokens_map.json; and no mask at all.
        config = os.path.join(model, "tokenizer_config.json")
        change_json(config, mask_token=None)
        change_json(os.path.join(model, "special_tokens_map.json"), mask_token={"content": "<mask>"})
        self.assertEqual(support.lines(self.ok("run", model, "--top-k", 1, stdin=self.input(model))), answers)
        os.remove(os.path.join(model, "special_tokens_map.json"))
        self.assertIn("the mask_token of tokenizer_config.json or special_tokens_map.json",
                      support.run("run", model).stderr)

    def test_left(self):
        model = self.case("tok-truncation-side-left", "classify")
        answers, stderr = self.answers(model, "--max-length", 16)
        self.assertEqual(answers[0]["label"], "LABEL_1")
        self.assertAlmostEqual(answers[0]["score"], 0.833206, places=5)
        self.assertEqual(stderr, "")
        ids, _ = self.tokens(model, "--max-length", 16)
        text = json.loads(self.input(model))["text"]
        whole = support.lines(self.ok("tokenize", model, stdin=json.dumps({"text": text})))[0]["ids"]
        self.assertEqual(ids, whole[:1] + whole[-15:])
        # Evaluation sees the same end: a text is as like its last tokens as can be.
        data = self.write("d.tsv", f"text\tpair\tlabel\n{text}\t{' '.join(text.split()[-14:])}\t5\n")
        self.ok("eval", model, "-t", "embed", "--data", data, "--max-length", 16, "--save", self.path("p.txt"))
        with open(self.path("p.txt")) as stream:
            self.assertAlmostEqual(float(stream.read()), 1, places=6)

    def test_left_is_kept_by_training(self):
        model = self.case("tok-truncation-side-left", "classify")
        data = self.write("d.tsv", "text\tlabel\n" + "the cat sat on the mat .\tLABEL_0\nhe is good\tLABEL_1\n" * 4)
        self.ok("train", model, "-q", "--task", "classify", "--train", data, "--epochs", 1, "--batch-size", 4, "-o",
                self.path("trained"))
        with open(self.path("trained", "tokenizer_config.json")) as stream:
            self.assertEqual(json.load(stream)["truncation_side"], "left")
        there, here = (self.ok("tokenize", path, "--max-length", 16, stdin=self.input(model)).stdout
                       for path in (model, self.path("trained")))
        self.assertEqual(there, here)

    def test_blank_line(self):
        ids, stderr = self.tokens(self.case("vocab-blank-line", "classify"))
        self.assertEqual(ids, [2, 44, 53, 5, 7, 40, 91, 50, 51, 3])
        self.assertEqual(stderr, "")

    def test_larger_than_model(self):
        model = self.case("vocab-larger-than-model", "classify")
        warning = ("the tokenizer has 124 tokens, the model 123 embeddings: a text with one of the tokens beyond them (the "
                   'first is "extra") has no answer')
        error = 'line 1: the token "extra" has the id 123, but the model has embeddings for ids below 123 only'
        for path in (model, self.compiled(model)):
            done = support.run("run", path, stdin=self.input(model))
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count(f"warning: {path}: {warning}\n"), 1, done.stderr)
            refused, answer = support.lines(done)
            self.assertEqual(refused, {"line": 1, "error": error})
            self.assertAlmostEqual(answer["score"], 0.845980, delta=2e-3)
        self.assertEqual(json.loads(self.ok("info", "--json", model + ".esp").stdout)["warnings"], [warning])

    def test_sequences(self):
        """Normalizers one after another, and another pre-tokenizer."""
        for name in ("tok-norm-lowercase-bert", "tok-norm-sequence", "tok-pre-whitespace"):
            ids, stderr = self.tokens(self.case(name, "classify"))
            self.assertEqual(ids, [2, 43, 52, 5, 7, 40, 90, 49, 50, 3])
            self.assertEqual(stderr, "")

    def test_refused_by_name(self):
        """Stages that are not built, until they are."""
        model = self.case("tok-pre-whitespace", "classify")
        change_json(os.path.join(model, "tokenizer.json"), pre_tokenizer={"type": "UnicodeScripts"})
        message = 'pre_tokenizer: type "UnicodeScripts" is not supported, only'
        for command in (("tokenize", model), ("run", model)):
            done = support.run(*command, stdin=self.input(model))
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{model}/tokenizer.json: ", done.stderr)
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stdout, "")
        done = self.ok("compile", model, "-o", self.path("m.esp"))
        self.assertIn(message, done.stderr)
        self.assertIn("compiled without it", done.stderr)

    def test_vocab_not_utf8(self):
        model = self.case("vocab-blank-line", "classify")
        path = os.path.join(model, "vocab.txt")
        with open(path, "ab") as stream:
            stream.write(b"f\xff\n")
        for command in (("run", model), ("compile", model, "-o", self.path("m.esp"))):
            done = support.run(*command, stdin=self.input(model))
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{path}: line 125: expected UTF-8, found the byte 0xff", done.stderr)
        self.assertFalse(os.path.exists(self.path("m.esp")))

    def test_spaces(self):
        """clean_up_tokenization_spaces is about the texts of answers."""
        model = self.case("tok-roberta-names", "mlm")
        text = json.dumps({"text": "he ' s <mask> ."})
        for spaces, expected in ((None, "he's"), (True, "he's"), (False, "he ' s")):
            change_json(os.path.join(model, "tokenizer_config.json"), clean_up_tokenization_spaces=spaces)
            for path in (model, self.compiled(model)):
                answer = support.lines(self.ok("run", path, "--top-k", 1, stdin=text))[0][0]
                self.assertTrue(answer["sequence"].startswith(expected), answer)


if __name__ == "__main__":
    support.main()
