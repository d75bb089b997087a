# SPDX-License-Identifier: Apache-2.0
"""prune: every pattern, score and scope; the result is a checkpoint with exactly the zeros that were asked for."""
import array
import json
import os

import support
from support import read_safetensors, run

CONTEXT = "Ada Lovelace wrote the first program for the Analytical Engine in London."
PRUNED = ("query.weight", "key.weight", "value.weight", "attention.output.dense.weight", "intermediate.dense.weight",
          "output.dense.weight")


def tensors(model):
    """name: (shape, floats)"""
    header, data = read_safetensors(os.path.join(model, "model.safetensors"))
    header.pop("__metadata__", None)
    return {name: (entry["shape"], array.array("f", data[slice(*entry["data_offsets"])]))
            for name, entry in header.items()}


class Prune(support.Scratch):
    def squad(self):
        return self.write("squad.json", json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [
            {"context": CONTEXT, "qas": [{"id": str(i), "question": f"Who wrote {word}?", "answers": [
                {"text": "Ada Lovelace", "answer_start": 0}]} for i, word in enumerate(CONTEXT.split())]}]}]}))

    def check_pattern(self, pattern, shape, values):
        rows, cols = shape
        for i in range(0, rows * cols // 4):
            at = [(i // cols * 4 + k) * cols + i % cols for k in range(4)] if pattern == "4x1" \
                else range(4 * i, 4 * i + 4)
            zeros = sum(values[k] == 0 for k in at)
            self.assertIn(zeros, {"2:4": (2,), "unstructured": range(5)}.get(pattern, (0, 4)))

    def test_patterns_and_scores(self):
        model, data = self.model(hidden_size=32, intermediate_size=64), self.squad()
        before, seen = tensors(model), set()
        for number, (pattern, score, scope) in enumerate((
                ("4x1", "magnitude", "global"), ("4x1", "snip-momentum", "global"), ("4x1", "movement", "global"),
                ("4x1", "obert", "global"), ("1x4", "obert", "uniform"), ("2:4", "magnitude", "global"),
                ("2:4", "obert", "uniform"), ("unstructured", "snip-momentum", "uniform"),
                ("unstructured", "obert", "global"))):
            out = self.path(f"out{number}")
            sparsity = 0.5 if pattern == "2:4" else 0.75
            arguments = [] if score == "magnitude" else ["--calibrate", data]
            report = json.loads(self.ok("prune", model, "--sparsity", sparsity, "--pattern", pattern, "--score", score,
                                        "--scope", scope, *arguments, "-o", out, "--json").stdout)
            self.assertAlmostEqual(report["sparsity"], sparsity, delta=1e-3)
            after = tensors(out)
            seen.add(after["bert.encoder.layer.0.output.dense.weight"][1].tobytes())
            self.assertEqual(list(before), list(after))
            for name, (shape, values) in after.items():
                if not name.endswith(PRUNED) or name.startswith("bert.embeddings"):
                    self.assertEqual(values, before[name][1], name)
                    continue
                self.check_pattern(pattern, shape, values)
                zeros = 0
                for x, was in zip(values, before[name][1]):
                    self.assertIn(x, (0, was))
                    zeros += x == 0
                share = zeros / len(values)
                if scope == "uniform":
                    self.assertAlmostEqual(share, sparsity, delta=0.01)
                self.assertLessEqual(share, 1 - (1 - sparsity) / 4 + 1e-3)
        self.assertEqual(len(seen), 9, "different scores and patterns remove different weights")

    def test_result_goes_on(self):
        """The result runs, compiles sparse, trains with its zeros kept, and is the same for any number of threads."""
        model, data = self.model(hidden_size=32, intermediate_size=64), self.squad()
        arguments = ["--sparsity", 0.8, "--score", "snip-momentum", "--calibrate", data, "--layer-max", 0.9]
        text = self.ok("prune", model, *arguments, "--threads", 1, "-o", self.path("a")).stdout
        self.assertRegex(text, r"(?m)a: sparsity 80\.\d\d %, in whole 4x1 blocks 80\.\d\d %$")
        self.assertEqual(len(text.splitlines()), 14)
        self.ok("prune", model, *arguments, "--threads", 3, "-o", self.path("b"))
        self.assertEqual(tensors(self.path("a")), tensors(self.path("b")))
        with open(os.path.join(model, "config.json")) as one, open(self.path("a", "config.json")) as two:
            self.assertEqual(json.load(one), json.load(two))
        self.ok("eval", self.path("a"), "--data", data)
        self.ok("compile", self.path("a"), "-o", self.path("a.esp"), "--sparse", "always")
        info = json.loads(self.ok("info", self.path("a.esp"), "--json").stdout)
        self.assertEqual({layer["precision"] for layer in info["linear_layers"]}, {"int8-sparse"})
        self.ok("train", self.path("a"), "--task", "qa", "--train", data, "--max-steps", 3, "--keep-mask", "--quiet",
                "-o", self.path("c"))
        before, after = tensors(self.path("a")), tensors(self.path("c"))
        for name in before:
            if name.endswith(PRUNED):
                self.assertEqual([x == 0 for x in before[name][1]], [x == 0 for x in after[name][1]])
                self.assertNotEqual(before[name][1], after[name][1])

    def test_heads_and_neurons(self):
        """A smaller model: its config, shapes and weights; it runs, compiles to the same bits on every CPU, trains."""
        model, data = self.model(hidden_size=32, num_attention_heads=4, intermediate_size=64), self.squad()
        before = tensors(model)
        for score in ("magnitude", "snip-momentum"):
            out = self.path(score)
            text = self.ok("prune", model, "--remove-heads", 0.5, "--remove-neurons", 0.25, "--sparsity", 0.5,
                           "--score", score, "--calibrate", data, "-o", out).stdout
            self.assertIn("heads left in each layer: ", text)
            with open(os.path.join(out, "config.json")) as stream:
                config = json.load(stream)
            removed = {int(layer): heads for layer, heads in config["pruned_heads"].items()}
            self.assertEqual(sum(map(len, removed.values())), 4)
            self.assertEqual((config["intermediate_size"], config["num_attention_heads"]), (48, 4))
            after = tensors(out)
            for layer in range(2):
                name = f"bert.encoder.layer.{layer}.attention.self.query.weight"
                kept = [head for head in range(4) if head not in removed.get(layer, [])]
                self.assertEqual(after[name][0], [8 * len(kept), 32])
                old = [x for head in kept for x in before[name][1][head * 256:head * 256 + 256]]
                self.assertTrue(all(x in (0, y) for x, y in zip(after[name][1], old)))
            info = json.loads(self.ok("info", out, "--json").stdout)
            self.assertEqual(info["layer_heads"], [4 - len(removed.get(layer, [])) for layer in range(2)])
            self.ok("compile", out, "-o", out + ".esp", "--calibrate", data,
                    *(["--smooth", "0.5"] if score == "magnitude" else []))
            stdin = "".join(json.dumps({"question": f"Who wrote {word}?", "context": CONTEXT}) + "\n"
                            for word in CONTEXT.split())
            first = self.ok("run", out + ".esp", stdin=stdin).stdout
            for isa in self.isas(out + ".esp"):
                self.assertEqual(self.ok("run", out + ".esp", stdin=stdin, env={"ESPALIER_ISA": isa}).stdout, first)
            self.assertEqual(json.loads(self.ok("info", out + ".esp", "--json").stdout)["layer_heads"],
                             info["layer_heads"])
            self.ok("train", out, "--task", "qa", "--train", data, "--max-steps", 2, "--keep-mask", "--quiet",
                    "--teacher", model, "-o", out + "-trained")
            with open(os.path.join(out + "-trained", "config.json")) as stream:
                self.assertEqual(json.load(stream), config)

    def test_trained_masks(self):
        """train --sparsity: whatever the score and with an average of the weights, what is written is exactly as sparse as
        it says, in whole units, and only where it may be."""
        model, data = self.model(hidden_size=32, intermediate_size=64), self.squad()
        for number, (pattern, score, more) in enumerate((("4x1", "magnitude", []), ("4x1", "snip-momentum", []),
                                                         ("4x1", "movement", ["--ema", 0.9]), ("4x1", "obert", []),
                                                         ("2:4", "obert", ["--ema", 0.9]), ("4x1", "obert", ["--qat"]))):
            out, sparsity = self.path(f"out{number}"), 0.5 if pattern == "2:4" else 0.8
            report = json.loads(self.ok(
                "train", model, "--task", "qa", "--train", data, "--max-steps", 12, "--sparsity", sparsity, "--pattern",
                pattern, "--score", score, "--prune-begin", 1, "--prune-end", 8, "--prune-every", 3, "--learning-rate",
                "1e-3", *more, "--quiet", "--json", "-o", out).stdout)
            self.assertAlmostEqual(report["sparsity"], sparsity, delta=1e-3)
            zeros = total = 0
            for name, (shape, values) in tensors(out).items():
                if name.endswith(PRUNED) and not name.startswith("bert.embeddings"):
                    self.check_pattern(pattern, shape, values)
                    zeros += sum(x == 0 for x in values)
                    total += len(values)
                elif name.endswith("LayerNorm.weight") or name.startswith("qa_outputs.weight"):
                    self.assertTrue(all(values), name)
            self.assertAlmostEqual(zeros / total, report["sparsity"], delta=1e-6)

    def test_train_from_fewer_heads(self):
        model, data = self.model(hidden_size=32, num_attention_heads=4, intermediate_size=64), self.squad()
        out, same = self.path("out"), self.path("same")
        self.ok("train", model, "--task", "qa", "--train", data, "--max-steps", 1, "--learning-rate", 0, "--quiet",
                "--remove-heads", 1, "--remove-neurons", 10, "-o", out)
        self.ok("prune", model, "--remove-heads", 1, "--remove-neurons", 10, "-o", same)
        self.assertEqual(tensors(out), tensors(same))

    def test_other_tasks(self):
        cases = (("sequence", "BertForSequenceClassification", "good,bad", "d.tsv",
                  "sentence\tlabel\nAda wrote it.\tgood\nParis is in London.\tbad\n"),
                 ("token", "BertForTokenClassification", "O,B-PER", "d.conll", "Ada B-PER\nwrote O\n\nParis O\n"),
                 ("mlm", "BertForMaskedLM", None, "d.txt", support.TEXT))
        for head, name, labels, file, content in cases:
            model = self.model(head, head=head, labels=labels, architectures=[name])
            self.ok("prune", model, "--sparsity", 0.5, "--score", "obert", "--calibrate", self.write(file, content),
                    "-o", self.path(f"{head}-out"))

    def test_refused(self):
        model, data = self.model(), self.squad()
        odd = self.model("odd", hidden_size=18, intermediate_size=30)
        cases = (
            ([model], 2, "--sparsity: expected a share above 0 and below 1, found 0"),
            ([model, "--sparsity", 1], 2, "--sparsity: expected a share above 0 and below 1, found 1"),
            ([model, "--sparsity", "-0.1"], 2, "--sparsity: expected a number from 0 to 1"),
            ([model, "--sparsity", "half"], 2, "--sparsity: expected a number"),
            ([model, "--sparsity", 0.8, "--pattern", "2:4"], 2, "expected 0.5, which pattern 2:4 has, found 0.8"),
            ([model, "--sparsity", 0.8, "--pattern", "8x1"], 2, "--pattern: expected 4x1, 1x4, 2:4 or unstructured"),
            ([model, "--sparsity", 0.8, "--score", "obert"], 2, "--score obert needs gradients: expected --calibrate"),
            ([model, "--sparsity", 0.8, "--scope", "local"], 2, "--scope: expected global or uniform"),
            ([odd, "--sparsity", 0.5], 2, "expected a multiple of 4 outputs for this pattern, found 18"),
            ([odd, "--sparsity", 0.5, "--pattern", "1x4"], 2, "expected a multiple of 4 inputs for this pattern, found 18"),
            ([model, "--remove-heads", 2], 2, "--remove-heads: expected a share below 1, or a whole number below the 2"),
            ([model, "--remove-heads", 1.5], 2, "--remove-heads: expected a share below 1"),
            ([model, "--remove-neurons", 32], 2, "a whole number below the 32 neurons of a layer, found 32"),
            ([model, "--remove-neurons", 1, "--sparsity", 0.5], 2, "expected a multiple of 4 outputs"),
            ([model, "--remove-heads", 0.5, "--score", "obert"], 2, "--score obert needs gradients"),
            ([model, "--sparsity", 0.5, "--score", "obert", "--calibrate", data, "--task", "classify"], 2,
             "has the head of task qa, expected that, found classify"),
            ([model, "--sparsity", 0.5, "--score", "obert", "--calibrate", self.path("none")], 1, "none"),
            ([model, "--sparsity", 0.5, "--score", "obert", "--calibrate", self.write("empty.json", '{"data": []}')], 1,
             "empty.json"),
            ([self.path("absent"), "--sparsity", 0.5], 1, "absent"),
        )
        for arguments, code, message in cases:
            done = run("prune", *arguments, "-o", self.path("out"))
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(message, done.stderr)
            self.assertFalse(os.path.exists(self.path("out")))
        done = run("prune", model, "--sparsity", 0.5, "-o", odd)
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected a new or empty directory", done.stderr)
        self.assertEqual(run("prune", model, "--sparsity", 0.5).returncode, 2)
        self.assertEqual(run("prune", "--sparsity", 0.5, "-o", self.path("out")).returncode, 2)


if __name__ == "__main__":
    support.main()
