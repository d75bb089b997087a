# SPDX-License-Identifier: Apache-2.0
"""compile, and the other commands on a compiled file: the same bits with any threads, batches and instruction set."""
import json
import os
import random
import re
import struct

import support
from support import lines, run

WORDS = re.findall(r"[A-Za-z]+", support.TEXT)


def questions(count):
    rng = random.Random(6)
    return "".join(json.dumps({"question": " ".join(rng.choices(WORDS, k=rng.randint(2, 6))),
                               "context": " ".join(rng.choices(WORDS, k=rng.randint(1, 120)))}) + "\n"
                   for _ in range(count))


class Compile(support.Scratch):
    def compiled(self, *arguments, **model):
        checkpoint = self.model(hidden_size=64, intermediate_size=128, **model)
        self.ok("compile", checkpoint, "-o", self.path("model.esp"), *arguments)
        return checkpoint, self.path("model.esp")

    def calibration(self):
        context = "Ada Lovelace wrote the first program for the Analytical Engine in London."
        return self.write("squad.json", json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [
            {"context": context, "qas": [{"id": str(i), "question": f"Who wrote {word}?", "answers": [
                {"text": "Ada Lovelace", "answer_start": 0}]} for i, word in enumerate(context.split())]}]}]}))

    def test_close_to_the_checkpoint(self):
        calibrate = ["--calibrate", self.calibration()]
        for number, arguments in enumerate(([], calibrate, ["--precision", "fp32"], [*calibrate, "--precision", "bf16"],
                                            [*calibrate, "--precision", "fp32"], [*calibrate, "--smooth", "0.5"],
                                            [*calibrate, "--smooth", "1", "--activations", "per-token"])):
            checkpoint, esp = self.compiled(*arguments)
            raw = "".join(json.dumps({"input_ids": [(7 * i + j) % 200 for j in range(3 + i)]}) + "\n"
                          for i in range(20))
            exact, close = (lines(self.ok("run", m, "--raw", stdin=raw)) for m in (checkpoint, esp))
            for a, b in zip(exact, close):
                scale = max(map(abs, a["start_logits"]))
                for x, y in zip(a["start_logits"], b["start_logits"]):
                    self.assertAlmostEqual(x, y, delta=0.1 * scale + 0.005, msg=arguments)
            for name in ("model", "model.esp"):
                os.rename(self.path(name), self.path(f"{name}.old{number}"))

    def test_same_bits(self):
        _, esp = self.compiled("--calibrate", self.calibration())
        stdin = questions(30)
        first = self.ok("run", esp, stdin=stdin).stdout
        self.assertEqual(len(first.splitlines()), 30)
        for arguments in (["--threads", "1"], ["--threads", "3"], ["--batch-tokens", "1"],
                          ["--batch-tokens", "100000"]):
            self.assertEqual(self.ok("run", esp, *arguments, stdin=stdin).stdout, first, arguments)
        for isa in self.isas(esp):
            self.assertEqual(self.ok("run", esp, stdin=stdin, env={"ESPALIER_ISA": isa}).stdout, first, isa)
        backwards = self.ok("run", esp, stdin="".join(reversed(stdin.splitlines(True)))).stdout
        self.assertEqual(backwards.splitlines()[::-1], first.splitlines())

    def test_commands_take_it(self):
        checkpoint, esp = self.compiled()
        report = json.loads(self.ok("info", esp, "--json").stdout)
        self.assertEqual((report["engine"], len(report["linear_layers"])), ("int8", 8))
        self.assertTrue(report["kernels"])
        self.ok("compile", checkpoint, "-o", self.path("wide.esp"), "--precision", "bf16")
        wide = json.loads(self.ok("info", self.path("wide.esp"), "--json").stdout)
        self.assertEqual({layer["precision"] for layer in wide["linear_layers"]}, {"bf16-dense"})
        self.assertGreater(wide["bytes"], report["bytes"])
        text = '{"text": "Ada wrote the clocks."}\n'
        self.assertEqual(self.ok("tokenize", esp, stdin=text).stdout, self.ok("tokenize", checkpoint, stdin=text).stdout)
        figures = json.loads(self.ok("eval", esp, "--data", self.calibration(), "--json").stdout)
        self.assertEqual(figures["examples"], 12)

    def test_calibration_methods(self):
        checkpoint = self.model(hidden_size=64, intermediate_size=128)
        files = []
        for method in ("minmax", "percentile", "entropy", "mse"):
            self.ok("compile", checkpoint, "-o", self.path(method), "--calibrate", self.calibration(), "--method",
                    method, "--percentile" if method == "percentile" else "--samples", "99")
            with open(self.path(method), "rb") as stream:
                files.append(stream.read())
            self.assertEqual(len(self.ok("run", self.path(method), stdin=questions(3)).stdout.splitlines()), 3)
        self.assertEqual(len(set(files)), 4)

    def test_sparse_by_a_rule(self):
        """What is left out depends on the weights alone: the same bytes again, and whatever the CPU may use."""
        checkpoint = self.model(hidden_size=64, intermediate_size=128)
        for share, precision in (("0.4", "int8-dense"), ("0.6", "int8-sparse")):
            pruned = self.path(f"pruned{share}")
            self.ok("prune", checkpoint, "--sparsity", share, "--pattern", "4x1", "--scope", "uniform", "-o", pruned)
            files = set()
            for number, (isa, arguments) in enumerate((("c", []), ("", []), ("", ["--sparse", "auto"]))):
                path = self.path(f"{share}-{number}.esp")
                report = json.loads(self.ok("compile", pruned, "-o", path, "--json", *arguments,
                                            env={"ESPALIER_ISA": isa}).stdout)
                self.assertEqual({linear["precision"] for linear in report["linear_layers"]}, {precision})
                with open(path, "rb") as stream:
                    files.add(stream.read())
            self.assertEqual(len(files), 1)
            info = json.loads(self.ok("info", self.path(f"{share}-0.esp"), "--json").stdout)
            for linear in info["linear_layers"]:  # of a dense layer, too; a sparse one has whole groups
                self.assertAlmostEqual(linear["zero_blocks_4x1"], float(share), delta=0.03)
            told = self.ok("compile", pruned, "-o", self.path("told.esp")).stdout
            self.assertEqual("keep more than 50 % of their 4x1 blocks" in told, precision == "int8-dense")
        refused = run("compile", checkpoint, "-o", self.path("x.esp"), "--sparse", "measured")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("auto", refused.stderr)

    def test_activations_and_smoothing(self):
        checkpoint = self.model(hidden_size=64, intermediate_size=128)
        calibrate = ["--calibrate", self.calibration()]
        sizes = []
        for number, (arguments, activations, smooth) in enumerate((
                ([], "per_token", None), (calibrate, "static", None),
                ([*calibrate, "--activations", "per-token"], "per_token", None),
                ([*calibrate, "--smooth", "0.5"], "static", 0.5),
                ([*calibrate, "--smooth", "0", "--activations", "per-token"], "per_token", 0))):
            path = self.path(f"{number}.esp")
            report = json.loads(self.ok("compile", checkpoint, "-o", path, "--json", *arguments).stdout)
            self.assertEqual((report["activations"], report.get("smooth")), (activations, smooth))
            info = json.loads(self.ok("info", path, "--json").stdout)
            self.assertEqual(info["activations"], activations)
            sizes.append(report["bytes"])
        self.assertEqual(sizes[0], sizes[2])
        self.assertGreater(sizes[3], sizes[1])  # the factors

    def test_max_drop(self):
        checkpoint = self.model(hidden_size=64, intermediate_size=128)
        data = self.calibration()
        for drop, met in (("100%", True), ("0", None)):
            report = json.loads(self.ok("compile", checkpoint, "-o", self.path(f"m{drop}.esp"), "--calibrate", data,
                                        "--max-drop", drop, "--eval", data, "--json").stdout)
            search, layers = report["search"], report["linear_layers"]
            fallen = [layer for layer in layers if layer["precision"] == "fp32-dense"]
            self.assertEqual(len(fallen), search["fallen_back"])
            figures = json.loads(self.ok("eval", self.path(f"m{drop}.esp"), "--data", data, "--json").stdout)
            self.assertAlmostEqual(figures[figures["metric"]], search["compiled"])
            exact = json.loads(self.ok("eval", checkpoint, "--data", data, "--json").stdout)
            self.assertAlmostEqual(exact[exact["metric"]], search["fp32"])
            self.assertEqual(search["met"], search["compiled"] >= search["fp32"] * (0 if drop == "100%" else 1))
            if met:
                self.assertEqual((search["met"], fallen), (True, []))

    def test_max_drop_gives_static_ranges_up(self):
        checkpoint, data = self.model(hidden_size=64, intermediate_size=128), self.calibration()
        command = ["compile", checkpoint, "--calibrate", data, "--percentile", "60", "--max-drop", "0", "--eval", data]
        done = self.ok(*command, "-o", self.path("any.esp"), "--json")
        report = json.loads(done.stdout)
        if report["search"]["fallen_back"] or not report["search"]["met"] or report["activations"] == "per_token":
            self.assertIn("now with a range per token", done.stderr)
        kept = self.ok(*command, "-o", self.path("static.esp"), "--json", "--activations", "static")
        self.assertNotIn("now with a range per token", kept.stderr)
        self.assertEqual(json.loads(kept.stdout)["activations"], "static")
        self.assertGreaterEqual(report["search"]["compiled"], json.loads(kept.stdout)["search"]["compiled"] - 1e-9)

    def test_bad_files(self):
        _, esp = self.compiled()
        with open(esp, "rb") as stream:
            good = stream.read()
        rng = random.Random(8)
        spoilt = [good[:-1], good[:100], good[:4], b"", good + b"\0", b"\0" * len(good)]
        for _ in range(40):
            at = rng.randrange(len(good))
            spoilt.append(good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1:])
        for number, content in enumerate(spoilt):
            path = self.write("bad.esp", content)
            done = run("run", path, stdin=questions(1))
            self.assertEqual(done.returncode, 1, (number, done.stderr))
            self.assertIn("bad.esp", done.stderr, number)

    def test_values_that_no_step_can_hold(self):
        """Nothing is written that the reader would refuse: the layer is named."""
        data, good = self.calibration(), self.model()
        header, weights = support.read_safetensors(os.path.join(good, "model.safetensors"))
        begin, end = header["bert.encoder.layer.1.attention.self.query.weight"]["data_offsets"]
        values = struct.unpack(f"<{(end - begin) // 4}f", weights[begin:end])
        rows = [(1e36, "layer 1: on these data its query reaches from"), (3e38, "layer 1: "), (1e-36, "layers[1].query")]
        for factor, message in rows:
            bad = b"".join(struct.pack("<f", v * factor) for v in values)
            content = weights[:begin] + bad + weights[end:]
            bias = header["bert.encoder.layer.1.attention.self.query.bias"]["data_offsets"]
            content = content[:bias[0]] + bytes(bias[1] - bias[0]) + content[bias[1]:]
            support.write_safetensors(os.path.join(good, "model.safetensors"), header, content)
            for method in ("minmax", "percentile", "entropy", "mse"):
                done = run("compile", good, "-q", "--calibrate", data, "--method", method, "-o", self.path("bad.esp"))
                if factor < 1 and done.returncode == 0:  # no range at all is one that has a step
                    self.ok("run", self.path("bad.esp"), stdin=questions(1))
                    os.unlink(self.path("bad.esp"))
                    continue
                self.assertEqual((done.returncode, message in done.stderr), (1, True), f"{method}: {done.stderr}")
                self.assertFalse(os.path.exists(self.path("bad.esp")))

    def test_bad_usage(self):
        checkpoint = self.model(hidden_size=64, intermediate_size=128)
        for arguments, code, message in (([checkpoint], 2, "--output"), (["-o", self.path("x.esp")], 2, "CKPT"),
                                         ([self.path("none"), "-o", self.path("x.esp")], 1, "none"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--precision", "int4"], 2,
                                          "--precision: expected"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--max-drop", "1%"], 2, "--eval"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--max-drop", "1", "--eval", "x"],
                                          2, "--max-drop: expected per cent (1%)"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--max-drop", "200%", "--eval", "x"],
                                          2, "--max-drop: expected"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--eval", "x"], 2, "--max-drop"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--method", "mse"], 2,
                                          "--calibrate"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--smooth", "0.5"], 2, "--calibrate"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--smooth", "1.5", "--calibrate",
                                           "x"], 2, "--smooth: expected"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--activations", "static"], 2,
                                          "no ranges of quantization-aware training"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--max-drop", "1%", "--eval",
                                           self.path("none")], 1, "none"),
                                         ([checkpoint, "-o", self.path("no", "x.esp")], 1, "cannot create"),
                                         ([checkpoint, "-o", self.path("x.esp"), "--calibrate", self.path("no")], 1,
                                          "no")):
            done = run("compile", *arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(message, done.stderr)
        self.assertFalse([name for name in os.listdir(self.dir) if name.startswith("x.esp")])
        self.ok("compile", checkpoint, "-o", self.path("x.esp"))
        done = run("run", self.path("x.esp"), stdin=questions(1), env={"ESPALIER_ISA": "sse9"})
        self.assertEqual(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    support.main()
