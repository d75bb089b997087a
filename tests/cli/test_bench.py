# SPDX-License-Identifier: Apache-2.0
"""bench: its fields, that they agree with each other, bad options, interruption. Nothing here depends on speed."""
import json
import os
import re
import signal
import subprocess
import time

import support
from support import run

QUICK = ["--seconds", "0.01"]


class Bench(support.Scratch):
    def setUp(self):
        super().setUp()
        self.checkpoint = self.model()
        self.esp = self.path("model.esp")
        self.ok("compile", self.checkpoint, "-o", self.esp)

    def report(self, *arguments, **options):
        return json.loads(self.ok("bench", *arguments, *QUICK, "--json", **options).stdout)

    def check_row(self, row, **expected):
        for key, value in {"batch": 1, "length": 64, "threads": 1, "instances": 1, **expected}.items():
            self.assertEqual(row[key], value, row)
        self.assertGreaterEqual(row["runs"], 5 * row["instances"])
        self.assertTrue(0 < row["min_ms"] <= row["median_ms"] <= row["p90_ms"] <= row["p99_ms"], row)
        self.assertTrue(row["min_ms"] <= row["mean_ms"] <= row["seconds"] * 1e3, row)
        self.assertAlmostEqual(row["tokens_per_s"] / row["sequences_per_s"], row["length"], places=5)
        # no instance ran longer than `seconds`, so all together did at least this
        self.assertGreaterEqual(row["sequences_per_s"] * 1.000001, row["runs"] * row["batch"] / row["seconds"], row)

    def test_one(self):
        row = self.report(self.esp, "--length", "64", "--threads", "1")
        self.check_row(row)
        self.assertEqual((row["model"], row["engine"], row["precision"]), (self.esp, "espalier", "int8-dense"))
        self.assertEqual(row["activations"], "per_token")
        self.assertEqual(row["isa"], row["machine"]["isas"][-1])
        self.assertGreaterEqual(row["machine"]["cores"], 1)
        self.assertIn("cpu", row["machine"])
        capped = self.report(self.esp, "--length", "8", env={"ESPALIER_ISA": "c", "ESPALIER_THREADS": "3"})
        self.check_row(capped, length=8, threads=3)
        self.assertEqual((capped["isa"], capped["machine"]["isas"]), ("c", ["c"]))

    def test_checkpoint(self):
        row = self.report(self.checkpoint, "--length", "64", "--threads", "1", "--batch", "2")
        self.check_row(row, batch=2)
        self.assertEqual((row["engine"], row["precision"]), ("onednn", "fp32"))
        self.assertNotIn("isa", row)

    def test_every_head(self):
        for head, name in (("none", "BertModel"), ("mlm", "BertForMaskedLM"),
                           ("sequence", "BertForSequenceClassification")):
            model = self.model(head, head=head, architectures=[name])
            self.check_row(self.report(model, "--length", "9", "--batch", "3", "--threads", "2"), batch=3, length=9,
                           threads=2)

    def test_all_combinations(self):
        rows = self.report(self.esp, "--batch", "1,3", "--length", "5,64", "--threads", "1,2", "--instances", "1,2")
        self.assertEqual(len(rows), 16)
        self.assertEqual(len({(r["batch"], r["length"], r["threads"], r["instances"]) for r in rows}), 16)
        for row in rows:
            self.check_row(row, **{key: row[key] for key in ("batch", "length", "threads", "instances")})
            if row["instances"] == 1:
                self.assertFalse(row["pinned"])
        text = self.ok("bench", self.esp, *QUICK, "--batch", "1,3", "--length", "5", "--threads", "1").stdout
        table = [line.split() for line in text.splitlines() if line and line.split()[0].isdigit()]
        self.assertEqual([row[:4] for row in table], [["1", "5", "1", "1"], ["3", "5", "1", "1"]], text)
        self.assertIn("int8-dense, run by espalier", text)

    def test_more_instances_than_cores(self):
        row = self.report(self.esp, "--length", "8", "--threads", "1", "--instances", "64")
        self.check_row(row, length=8, instances=64)

    def test_ops(self):
        compiled = self.ok("info", self.esp, "--json").stdout
        layers = {layer["name"]: layer["precision"] for layer in json.loads(compiled)["linear_layers"]}
        for threads in ("1", "3"):
            row = self.report(self.esp, "--ops", "--length", "60", "--batch", "5", "--threads", threads)
            self.assertEqual((row["batch"], row["length"], row["threads"]), (5, 60, int(threads)))
            ops = {op["op"]: op for op in row["ops"]}
            self.assertEqual(len(ops), len(row["ops"]))
            self.assertLessEqual({"embeddings", "layer_norm", "attention", "head", "between_ops", *layers}, set(ops))
            self.assertAlmostEqual(sum(op["share"] for op in row["ops"]), 1, places=6)
            self.assertAlmostEqual(sum(op["thread_ms"] for op in row["ops"]) / row["thread_ms"], 1, places=6)
            products = sum(ops[name]["share"] for name in ("attention", *layers))
            self.assertAlmostEqual(row["outside_products_and_attention"], 1 - products, places=6)
            for name, precision in layers.items():
                self.assertEqual(ops[name]["precision"], precision)
                self.assertGreater(ops[name]["gops"], 0)
            operations = {name: ops[name]["gops"] * ops[name]["thread_ms"] for name in layers}
            self.assertAlmostEqual(operations["query_key_value"] / operations["attention_output"], 3, places=5)
            self.assertAlmostEqual(operations["ffn_input"] / operations["attention_output"], 2, places=5)
            for op in row["ops"]:
                if "of_peak" in op:
                    rate = op["gbytes" if op["peak"] == "copy" else "gops"]
                    self.assertAlmostEqual(op["of_peak"] * row["peaks"][op["peak"]]["g_per_s"] / rate, 1, places=6)
        text = self.ok("bench", self.esp, "--ops", *QUICK, "--length", "8,9", "--threads", "1").stdout
        self.assertEqual(len([line for line in text.splitlines() if line.startswith("total")]), 2, text)

    def test_cost(self):
        for model in (self.esp, self.checkpoint):
            rows = self.report(model, "--cost", "--threads", "1,2")
            self.assertEqual([row["threads"] for row in rows], [1, 2])
            for row in rows:
                self.assertEqual(list(row["ms"]),
                                 ["parts", "panels", "half_tail", "tail", "tokens", "sequences", "squares"])
                self.assertTrue(all(ms >= 0 for ms in row["ms"].values()) and sum(row["ms"].values()) > 0, row)
                self.assertGreaterEqual(row["batches"], 20)
                self.assertTrue(0 <= row["error_median"] <= row["error_p99"], row)
                self.assertGreater(row["pace"], 0)
        text = self.ok("bench", self.esp, "--cost", *QUICK, "--threads", "1").stdout
        self.assertRegex(text, r"(?m)^squares +[0-9.]+$")
        self.assertRegex(text, r"(?m)^\d+ ragged batches foretold within \d+ % \(median\)")

    def test_kernels(self):
        report = json.loads(self.ok("bench", "--kernels", "--seconds", "0", "--only", "sparse", "--json").stdout)
        self.assertIn("cores", report["machine"])
        names = {row["version"] for row in report["kernels"]}
        self.assertTrue(names and all("sparse" in name for name in names), names)
        best = report["machine"]["isas"][-1]
        if best == "c":
            self.assertEqual(report["peaks"], {})
        else:
            self.assertEqual(set(report["peaks"]), {"int8", "fp32", "bf16", "copy"})
            self.assertFalse([name for name in names if name.endswith("_c")])
        sparse = [row for row in report["kernels"] if row["op"] == "sparse_u8s8"]
        self.assertEqual({(row["rows"], row["columns"]) for row in sparse}, {(768, 768), (3072, 768), (768, 3072)})
        self.assertEqual({row["tokens"] for row in sparse}, {16, 32, 64, 128, 384, 1024})
        self.assertEqual({row["kept"] for row in sparse}, {0.2, 0.1})
        for row in report["kernels"]:
            self.assertGreater(row["us"], 0)
            if "gops" in row:
                operations = 2 * row["rows"] * row["columns"] * row["tokens"]
                self.assertAlmostEqual(row["gops"] * row["us"] * 1e3 / operations, 1, places=5)
        text = self.ok("bench", "--kernels", "--seconds", "0", "--only", "layer_norm").stdout
        self.assertRegex(text, r"(?m)^layer_norm_[a-z0-9]+ +fixed +768 x 1 +16 ")
        self.assertNotIn("gemm", text)

    def test_bad_options(self):
        for arguments, code, message in (
                ([], 2, "expected a MODEL"),
                (["a", "b"], 2, "expected one MODEL"),
                ([self.esp, "--batch", "0"], 2, "--batch: expected a whole number from 1 to 65536, found \"0\""),
                ([self.esp, "--length", "8,"], 2, "--length: expected a whole number"),
                ([self.esp, "--length", "8,x"], 2, "found \"x\""),
                ([self.esp, "--length", "8,65"], 2, "--length: expected at most the 64 tokens"),
                ([self.esp, "--threads", "-1"], 2, "--threads: expected"),
                ([self.esp, "--instances", "1025"], 2, "--instances: expected"),
                ([self.esp, "--batch", ",".join(["1"] * 65)], 2, "--batch: expected at most 64 values"),
                ([self.esp, "--seconds", "-1"], 2, "--seconds: expected a number"),
                ([self.esp, "--kernels"], 2, "--kernels measures no model"),
                ([self.esp, "--cost", "--batch", "1"], 2, "--cost draws its batches"),
                ([self.esp, "--cost", "--ops"], 2, "one at a time"),
                (["--kernels", "--ops"], 2, "--kernels measures no model"),
                ([self.esp, "--only", "x"], 2, "--only goes with --kernels"),
                ([self.esp, "--ops", "--instances", "2"], 2, "--ops measures one instance"),
                ([self.checkpoint, "--ops"], 2, "--ops: expected a compiled file"),
                ([self.path("missing")], 1, "missing"),
                ([self.path("text.txt")], 1, "expected a checkpoint directory"),
        ):
            done = run("bench", *arguments, *([] if "--seconds" in arguments else QUICK))
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stdout, "", arguments)

    def interrupt(self, *arguments, after=None, by=signal.SIGINT):
        """What a bench has printed that gets a signal once it has printed a row that begins with `after`."""
        process = subprocess.Popen([support.PROGRAM, "bench", self.esp, "--threads", "1", *arguments], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output = ""
        for line in iter(process.stdout.readline, "") if after else []:
            output += line
            if line.split()[:len(after)] == after:
                break
        while not after and len(os.listdir(f"/proc/{process.pid}/task")) == 1:  # nobody waits for signals yet
            time.sleep(0.01)
        if not after:
            time.sleep(0.3)
        process.send_signal(by)
        rest, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertEqual(errors, "espalier bench: interrupted\n")
        return output + rest

    def test_interrupt(self):
        for arguments in (["--instances", "2"], ["--ops"]):
            self.assertEqual(self.interrupt(*arguments, "--length", "8", "--seconds", "3000", "--json"), "")
        # within a batch that takes minutes
        long = ["--batch", "1,2,65536", "--length", "64", "--seconds", "0"]
        table = self.interrupt(*long, after=["2", "64"], by=signal.SIGTERM)
        self.assertEqual(len(re.findall(r"(?m)^ +\d+ +64 ", table)), 2, table)
        found = self.interrupt(*long, "--json")
        if found:  # a busy machine may not have come so far
            self.assertEqual([row["batch"] for row in json.loads(found)], [1, 2][:len(json.loads(found))])


class BenchTrain(support.Scratch):
    """bench/bench_train, the benchmark of training steps, on a model that takes no time."""

    def bench(self, *arguments):
        program = os.path.join(os.path.dirname(support.PROGRAM), "bench", "bench_train")
        return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, cwd=self.dir, timeout=120)

    def test_fields(self):
        for matmul in (0, 1):
            done = self.bench("--config", "bert-tiny", "--batch", 3, "--length", 20, "--shortest", 14, "--threads", 2,
                              "--steps", 2, "--compute", "fp32", "--matmul", matmul)
            self.assertEqual(done.returncode, 0, done.stderr)
            row = json.loads(done.stdout)
            for key, value in {"engine": "espalier fp32", "config": "bert-tiny", "batch": 3, "length": 20, "shortest": 14,
                               "threads": 2, "steps": 2}.items():
                self.assertEqual(row[key], value, row)
            self.assertTrue(0 < row["min_ms"] <= row["median_ms"], row)
            parts = [row[f"{part}_ms"] for part in ("forward", "loss", "backward", "update", "pack")]
            self.assertTrue(all(part >= 0 for part in parts) and row["forward_ms"] > 0 and row["backward_ms"] > 0, row)
            self.assertTrue(row["tokens_per_s"] > 0 and row["gflops"] > 0 and row["peak_mb"] > 0, row)
            self.assertTrue(2 < row["loss"] < 4, row)  # the logarithm of 14 to 20 places, before anything is learnt
            self.assertEqual(row.get("matmul_gflops", 0) > 0, matmul == 1, row)
            self.assertEqual(os.listdir(self.dir), [])

    def test_bad_options(self):
        for arguments, code, message in (
                (["--speed", 1], 2, "expected [--config NAME]"), (["--batch"], 2, "expected [--config NAME]"),
                (["--batch", "two"], 2, "whole numbers"), (["--batch", 0], 2, "--batch from 1"),
                (["--threads", -1], 2, "whole numbers"), (["--threads", 65], 2, "--threads from 1 to 64"),
                (["--steps", 10001], 2, "--steps from 1 to 10000"), (["--length", 600], 2, "from 12 to 512"),
                (["--length", 16, "--shortest", 17], 2, "--shortest the smaller one"),
                (["--compute", "fp16"], 2, "expected [--config NAME]"), (["--config", "none"], 1, "none")):
            done = self.bench(*arguments)
            self.assertEqual((done.returncode, done.stdout), (code, ""), (arguments, done.stderr))
            self.assertIn(message, done.stderr, arguments)


if __name__ == "__main__":
    support.main()
