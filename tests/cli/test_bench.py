# SPDX-License-Identifier: Apache-2.0
"""bench: its fields, that they agree with each other, bad options, interruption. Nothing here depends on speed."""
import json
import signal
import subprocess

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
                ([self.path("missing")], 1, "missing"),
                ([self.path("text.txt")], 1, "expected a checkpoint directory"),
        ):
            done = run("bench", *arguments, *([] if "--seconds" in arguments else QUICK))
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stdout, "", arguments)

    def test_interrupt(self):
        process = subprocess.Popen([support.PROGRAM, "bench", self.esp, "--length", "8", "--instances", "2",
                                    "--threads", "1", "--seconds", "3000"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, output), (1, b""))
        self.assertIn(b"interrupted", errors)


if __name__ == "__main__":
    support.main()
