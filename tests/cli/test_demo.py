# SPDX-License-Identifier: Apache-2.0
"""espalier demo with models too small to learn: every stage, its artefacts, a second run, an interrupted run."""
import json
import os
import signal
import subprocess
import time

import support
from support import run


class Demo(support.Scratch):
    def demo(self, *arguments, **options):
        return json.loads(self.ok("demo", "--quick", "--json", "-o", self.path("demo"), *arguments, **options).stdout)

    def test_every_stage(self):
        report = self.demo()
        names = [stage["name"] for stage in report["stages"]]
        self.assertEqual(names, ["bag-of-words.json", "teacher", "teacher.esp", "student", "student.esp"])
        for stage in report["stages"][1:]:
            self.assertGreater(stage["bytes"], 0)
            self.assertGreater(stage["ms"], 0)
            self.assertGreater(stage["questions_per_s"], 0)
        self.assertEqual(len(report["answers"]), 3)
        for answer in report["answers"]:
            self.assertIn(answer["answer"], answer["context"])
            self.assertIn(answer["expected"], answer["context"])

        # the figures are those of the commands on what the demo leaves
        for stage in report["stages"][1:]:
            scored = json.loads(self.ok("eval", self.path("demo", stage["name"]), "--task", "qa", "--data",
                                        self.path("demo", "dev.json"), "--json", "--quiet").stdout)
            self.assertAlmostEqual(scored["f1"], stage["f1"], places=6)
            self.assertAlmostEqual(scored["exact_match"], stage["exact_match"], places=6)
        header, data = support.read_safetensors(self.path("demo", "student", "model.safetensors"))
        zeros = total = 0
        for name, tensor in header.items():
            if "transformer.layer" in name and name.endswith("weight") and "norm" not in name:
                begin, end = tensor["data_offsets"]
                values = memoryview(data[begin:end]).cast("f")
                zeros, total = zeros + sum(v == 0 for v in values), total + len(values)
        self.assertAlmostEqual(zeros / total, 0.8, delta=0.01)

        again = run("demo", "--quick", "-o", self.path("demo"))
        self.assertEqual(again.returncode, 2)
        self.assertIn("a demo has been here", again.stderr)
        other = run("demo", "--quick", "--seed", 2, "--resume", "-o", self.path("demo"))
        self.assertEqual(other.returncode, 2)
        self.assertIn("was begun with --seed 1 --quick", other.stderr)
        resumed = self.demo("--resume")
        for before, after in zip(report["stages"], resumed["stages"]):
            self.assertEqual(before["f1"], after["f1"])

    def test_prints_a_table(self):
        done = self.ok("demo", "--quick", "-q", "--seed", 5, "-o", self.path("demo"))
        self.assertNotIn("train:", done.stderr)
        for text in ("bag of words", "teacher, fp32 checkpoint", "student, int8 sparse", "questions/s", "expected: "):
            self.assertIn(text, done.stdout)

    def test_interrupted_and_resumed(self):
        whole = self.demo("--seed", 3)
        process = subprocess.Popen([support.PROGRAM, "demo", "--quick", "--seed", "3", "-o", self.path("cut")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not os.path.exists(self.path("cut", "reader")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
        self.assertIn(process.returncode, (0, 1), stderr)  # 0: it was faster than the signal
        if process.returncode == 1:
            self.assertIn(b"interrupted", stderr)
        resumed = json.loads(self.ok("demo", "--quick", "--seed", 3, "--resume", "--json", "-o",
                                     self.path("cut")).stdout)
        for before, after in zip(whole["stages"], resumed["stages"]):
            self.assertEqual((before["name"], before["f1"]), (after["name"], after["f1"]))

    def test_wrong_usage(self):
        for arguments in (["--seed", "x"], ["--threads", "0"], ["surplus"]):
            self.assertEqual(run("demo", *arguments).returncode, 2, arguments)
        self.write("full/file.txt", "not a demo's")
        done = run("demo", "--quick", "-o", self.path("full"))
        self.assertEqual(done.returncode, 2)
        self.assertEqual(os.listdir(self.path("full")), ["file.txt"])


if __name__ == "__main__":
    support.main()
