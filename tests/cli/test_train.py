# SPDX-License-Identifier: Apache-2.0
"""train: killed, interrupted and resumed runs give the weights of an undisturbed one; what its options promise."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import support
from support import run
from train_support import TrainCase, computes, examples, log_of, result_of, weights_of

KILLS = int(os.environ.get("ESPALIER_TEST_KILLS", "6"))


class Killed(TrainCase):
    def kill_until_done(self, arguments, result, seconds, seed):
        """Kills the run at random moments, KILLS times in all, and resumes it each time."""
        rng, kills = random.Random(seed), 0
        while True:
            process = subprocess.Popen([support.PROGRAM, *map(str, arguments), "--resume"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
            try:
                _, error = process.communicate(timeout=rng.uniform(0, 1.1 * seconds) if kills < KILLS else 300)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                continue
            self.assertEqual(process.returncode, 0, error.decode())
            if kills >= KILLS:
                return
            shutil.rmtree(result)  # it was faster than the next kill: once more
            self.forget()

    def forget(self):
        if os.path.exists(self.path("cache")):
            os.remove(self.path("cache"))

    def timed(self, *arguments):
        start = time.monotonic()
        self.ok(*arguments)
        return time.monotonic() - start

    def test_killed_anywhere(self):
        self.student(), self.teacher()
        for compute in computes():
            with self.subTest(compute):
                cache = ["--teacher-cache", self.path("cache")]
                whole, killed = self.path("whole-" + compute), self.path("killed-" + compute)
                self.forget()
                seconds = self.timed(*self.mix(whole, *cache, compute=compute))
                self.forget()
                self.kill_until_done(self.mix(killed, *cache, compute=compute), killed, seconds, 1)
                self.assertEqual(result_of(killed), result_of(whole))
                left = sorted(name for name in os.listdir(self.dir) if name.startswith("killed-" + compute))
                self.assertEqual(left, ["killed-" + compute])

    def test_killed_in_a_recipe(self):
        self.student()
        recipe = self.write("recipe.json", json.dumps({
            "task": "classify", "train": self.train, "dev": self.dev, "batch-size": 8, "learning-rate": 2e-3,
            "compute": "fp32", "save-every": 2, "log-every": 1, "max-steps": 8, "stages": [
                {"name": "tune"},
                {"name": "prune", "teacher": "stage:tune", "sparsity": 0.5, "prune-every": 1},
                {"name": "round", "qat": True, "keep-mask": True}]}))
        command = ["train", self.path("student"), "--recipe", recipe, "-q"]
        seconds = self.timed(*command, "-o", self.path("whole"))
        # the paths of the stages are part of a run's options: the same directory for both
        os.rename(self.path("whole"), self.path("kept"))
        self.kill_until_done([*command, "-o", self.path("whole")], self.path("whole"), seconds, 2)
        self.assertEqual(sorted(os.listdir(self.path("whole"))), ["prune", "round", "tune"])
        for stage in ("tune", "prune", "round"):
            self.assertEqual(result_of(self.path("whole", stage)), result_of(self.path("kept", stage)), stage)

    def test_signals(self):
        """SIGINT and SIGTERM write a checkpoint and end the run with 0, wherever they come."""
        self.student(), self.teacher()
        seconds = self.timed(*self.mix("whole"))
        rng = random.Random(3)
        for number in (signal.SIGINT, signal.SIGTERM):
            stopped = 0
            while stopped < 2 or not os.path.exists(self.path("stopped")):
                process = subprocess.Popen([support.PROGRAM, *map(str, self.mix("stopped", "--json", "--resume"))],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    out, error = process.communicate(timeout=rng.uniform(0.1, 1) * seconds if stopped < 3 else 300)
                except subprocess.TimeoutExpired:
                    process.send_signal(number)
                    out, error = process.communicate(timeout=300)
                    if process.returncode == -number:  # before the program had set itself up
                        continue
                self.assertEqual(process.returncode, 0, error)
                report = json.loads(out)
                stopped += report["interrupted"]
                if report["interrupted"] and report["steps"]:
                    self.assertTrue(os.path.exists(self.path("stopped.partial", f"checkpoint-{report['steps']}")))
                if stopped < 2 and os.path.exists(self.path("stopped")):
                    shutil.rmtree(self.path("stopped"))
            self.assertEqual(result_of(self.path("stopped")), result_of(self.path("whole")))
            shutil.rmtree(self.path("stopped"))

    def stop_at_checkpoint(self, *command):
        """Kills a run that has written a checkpoint."""
        process = subprocess.Popen([support.PROGRAM, *map(str, command), "--save-every", "2"], stderr=subprocess.PIPE)
        while not any(re.fullmatch(r"checkpoint-\d+", name) for name in self.partial()):
            self.assertIsNone(process.poll(), "ended before it was killed")
            time.sleep(0.001)
        process.kill()
        process.communicate()

    def test_resumed_without_what_it_began_with(self):
        """The run has its model and tokenizer; a teacher that is gone is named, and nothing is lost."""
        self.student(), self.teacher()
        vocabulary = self.write("words/vocab.txt", "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "is"]))
        shape = self.write("shape.json", json.dumps({**support.TINY, "vocab_size": 7}))
        common = ["--task", "classify", "--train", self.train, "--batch-size", 8, "--max-steps", 40, "-q", "-o"]
        for start, gone in (([self.path("student")], self.path("student")),
                            (["--init", shape, "--tokenizer", vocabulary], vocabulary),
                            (["--init-from", self.path("teacher"), "--layers", "0,2"], self.path("teacher"))):
            self.ok("train", *start, *common, self.path("whole"))
            self.stop_at_checkpoint("train", *start, *common, self.path("out"))
            os.rename(gone, gone + ".gone")
            self.ok("train", *start, *common, self.path("out"), "--resume")
            os.rename(gone + ".gone", gone)
            self.assertEqual(result_of(self.path("out")), result_of(self.path("whole")))
            shutil.rmtree(self.path("out")), shutil.rmtree(self.path("whole"))
        command = ["train", self.path("student"), *common, self.path("out"), "--teacher", self.path("teacher")]
        self.stop_at_checkpoint(*command)
        os.rename(self.path("teacher"), self.path("elsewhere"))
        done = run(*command, "--resume")
        self.assertEqual(done.returncode, 1)
        self.assertIn("teacher: expected a checkpoint directory: No such file", done.stderr)
        os.rename(self.path("elsewhere"), self.path("teacher"))
        self.ok(*command, "--resume")

    def test_two_at_once(self):
        """A second process leaves a run alone that the first is still at."""
        self.student()
        command = ["train", self.path("student"), "--task", "classify", "--train", self.train, "--max-steps", 1000000,
                   "--save-every", 5, "-q", "-o", self.path("out")]
        process = subprocess.Popen([support.PROGRAM, *map(str, command)], stderr=subprocess.PIPE)
        try:
            while not any(name.startswith("checkpoint-") for name in self.partial()):
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            done = run(*command, "--resume")
            self.assertEqual(done.returncode, 2)
            self.assertIn("another process is at this run", done.stderr)
        finally:
            process.terminate()
            self.assertEqual(process.wait(), 0)

    def partial(self):
        return os.listdir(self.path("out.partial")) if os.path.exists(self.path("out.partial")) else []


class Same(TrainCase):
    def test_threads(self):
        self.student(), self.teacher()
        for compute in computes():
            with self.subTest(compute):
                results = []
                for threads in (1, 2, 3):
                    self.ok(*self.mix(f"{compute}-{threads}", "--threads", threads, compute=compute))
                    results.append(result_of(self.path(f"{compute}-{threads}")))
                self.assertEqual(results[1], results[0])
                self.assertEqual(results[2], results[0])

    def test_cache_of_the_teacher(self):
        self.student(), self.teacher()
        self.ok(*self.mix("without"))
        for name in ("first", "second"):  # filled, then read
            self.ok(*self.mix(name, "--teacher-cache", self.path("cache")))
            self.assertEqual(result_of(self.path(name)), result_of(self.path("without")))
        for name, more in ("fast", []), ("int8", ["--qat"]):  # stages of a recipe: fp32 is the student's way with --qat
            self.ok(*self.mix(name, *more, "--teacher-cache", self.path("shared"), compute="auto"))

    def test_seed(self):
        self.student(), self.teacher()
        self.ok(*self.mix("one"))
        self.ok(*self.mix("other", "--seed", 2))
        self.assertNotEqual(weights_of(self.path("one")), weights_of(self.path("other")))


class Text(support.Scratch):
    """Pre-training: lines of documents in full windows, in training and in evaluation alike."""

    def setUp(self):
        super().setUp()
        lines = support.TEXT.splitlines()
        self.text = self.write("documents.txt", "\n".join(lines[:3]) + "\n\n" + "\n".join(lines[3:]) + "\n")
        self.init = self.model("bare", head="none", architectures=["BertModel"])

    def pretrain(self, output, *more):
        return ["train", self.path("bare"), "--task", "mlm", "--train", self.text, "--dev", self.text, "--max-length", 16,
                "--batch-size", 2, "--compute", "fp32", "--learning-rate", 1e-3, *more, "-q", "-o", self.path(output)]

    def evaluate(self, model, *more):
        return json.loads(self.ok("eval", model, "--task", "mlm", "--data", self.text, "--max-length", 16, *more, "--json",
                                  "-q").stdout)

    def test_resumed(self):
        for pack in ("document", "file", "line"):
            whole, stopped = self.path(pack), self.path(pack + "-stopped")
            self.ok(*self.pretrain(pack, "--pack", pack, "--max-steps", 12))
            process = subprocess.Popen([support.PROGRAM, *map(str, self.pretrain(
                pack + "-stopped", "--pack", pack, "--max-steps", 12, "--save-every", 1, "--resume"))],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not os.path.exists(os.path.join(stopped + ".partial", "checkpoint-3")):
                time.sleep(0.001)
            process.kill()
            process.wait()
            self.ok(*self.pretrain(pack + "-stopped", "--pack", pack, "--max-steps", 12, "--save-every", 1, "--resume"))
            self.assertEqual(weights_of(stopped), weights_of(whole), pack)
            scored = self.evaluate(whole, "--pack", pack, "--seed", 1)
            evaluations = [line["eval"] for line in log_of(whole) if "eval" in line]
            best = max(evaluations, key=lambda figures: figures["accuracy"])
            for key in ("loss", "accuracy", "predicted"):
                self.assertAlmostEqual(best[key], scored[key], places=9)

    def test_no_token_is_lost(self):
        """All masked: as many are predicted as the text has tokens, whatever the windows."""
        tokens = sum(len(answer["ids"]) - 2 for answer in support.lines(self.ok(
            "tokenize", self.init, stdin="".join(json.dumps({"text": line}) + "\n"
                                                 for line in support.TEXT.splitlines()))))
        self.ok(*self.pretrain("out", "--max-steps", 1))
        examples = {"document": 2, "file": 1, "line": 5}
        for pack, count in examples.items():
            report = self.evaluate(self.path("out"), "--pack", pack, "--mask-probability", 1)
            self.assertEqual((report["predicted"], report["examples"]), (tokens, count), pack)

    def test_windows_without_masks(self):
        """A step may have nothing to predict: short lines, one at a time."""
        text = self.write("short.txt", "the\nof\nAda\n" * 4)
        self.ok("train", self.init, "--task", "mlm", "--train", text, "--pack", "line", "--batch-size", 1, "--epochs", 2,
                "--mask-probability", 0.05, "-q", "-o", self.path("out"))


class Options(TrainCase):
    def run_json(self, *arguments):
        return json.loads(self.ok(*arguments, "--json").stdout)

    def command(self, output, *more):
        return ["train", self.path("student"), "--task", "classify", "--train", self.train, "--batch-size", 8,
                "--compute", "fp32", *more, "-q", "-o", self.path(output)]

    def test_log(self):
        self.student()
        report = self.run_json(*self.command("out", "--dev", self.dev, "--max-steps", 20, "--log-every", 4,
                                             "--eval-every", 10, "--sparsity", 0.5, "--learning-rate", 1e-3,
                                             "--warmup", 5, "--schedule", "constant"))
        self.assertEqual(report["steps"], 20)
        log = log_of(self.path("out"))
        steps = [line for line in log if "loss" in line]
        self.assertEqual([line["step"] for line in steps], [4, 8, 12, 16, 20])
        for line in steps:
            self.assertEqual(sorted(line), ["gradient_norm", "loss", "lr", "sparsity", "step"])
        self.assertEqual([round(line["lr"], 9) for line in steps], [6e-4, 1e-3, 1e-3, 1e-3, 1e-3])
        self.assertAlmostEqual(steps[-1]["sparsity"], 0.5, places=2)
        evaluations = [line for line in log if "eval" in line]
        self.assertEqual([line["step"] for line in evaluations], [10, 20])
        scored = self.run_json("eval", self.path("out"), "--task", "classify", "--data", self.dev)
        best = next(line for line in evaluations if line["step"] == report["best_step"])
        self.assertAlmostEqual(best["eval"][report["metric"]], scored[scored["metric"]], places=9)
        self.assertEqual(report["best"], best["eval"][report["metric"]])

    def test_best_is_kept(self):
        """A learning rate that spoils the model in the end: the result is the best, with --keep-last the last."""
        self.student()
        train = ["--dev", self.dev, "--max-steps", 60, "--eval-every", 5, "--learning-rate", 0.05, "--schedule",
                 "constant", "--dropout", 0]
        report = self.run_json(*self.command("best", *train))
        evaluations = {line["step"]: line["eval"][report["metric"]] for line in log_of(self.path("best"))
                       if "eval" in line}
        self.assertEqual(report["best"], max(evaluations.values()))
        self.assertEqual(report["best_step"], min(s for s, v in evaluations.items() if v == report["best"]))
        again = self.run_json(*self.command("again", *train, "--max-steps", report["best_step"], "--keep-last"))
        self.assertEqual(again["steps"], report["best_step"])
        self.assertEqual(weights_of(self.path("again")), weights_of(self.path("best")))
        self.run_json(*self.command("last", *train, "--keep-last"))
        if report["best_step"] != 60:
            self.assertNotEqual(weights_of(self.path("last")), weights_of(self.path("best")))

    def test_best_is_as_sparse_as_asked(self):
        """Models from before the end of pruning do not count, however good."""
        self.student()
        report = self.run_json(*self.command("out", "--dev", self.dev, "--max-steps", 30, "--eval-every", 3,
                                             "--sparsity", 0.75, "--prune-begin", 0.5, "--prune-end", 0.8,
                                             "--patience", 1, "--learning-rate", 1e-2))
        self.assertGreater(report["best_step"], 24)
        self.assertAlmostEqual(report["sparsity"], 0.75, places=2)
        info = json.loads(self.ok("info", self.path("out"), "--json").stdout)
        self.assertGreater(info["sparsity"], 0.7)

    def test_pruning_to_the_end(self):
        self.student()
        for end in (1, 10):
            report = self.run_json(*self.command(f"end{end}", "--max-steps", 10, "--sparsity", 0.5, "--prune-end", end))
            self.assertAlmostEqual(report["sparsity"], 0.5, places=2)

    def test_patience(self):
        self.student()
        report = self.run_json(*self.command("out", "--dev", self.dev, "--max-steps", 100, "--eval-every", 2,
                                             "--patience", 3, "--learning-rate", 0))
        self.assertEqual((report["best_step"], report["steps"]), (2, 8))

    def test_average(self):
        """--ema: the average is what is evaluated and written."""
        self.student()
        self.ok(*self.command("plain", "--max-steps", 10, "--learning-rate", 1e-3))
        self.ok(*self.command("average", "--max-steps", 10, "--learning-rate", 1e-3, "--ema", 0.9))
        self.assertNotEqual(weights_of(self.path("plain")), weights_of(self.path("average")))
        self.assertEqual(log_of(self.path("plain")), log_of(self.path("average")))

    def test_resume_begins_and_ends(self):
        """--resume begins a run that is not there yet, and has nothing to do when it is done."""
        self.student()
        first = self.run_json(*self.command("out", "--max-steps", 4, "--resume"))
        again = self.run_json(*self.command("out", "--max-steps", 4, "--resume"))
        self.assertEqual((first["steps"], first["already_done"], again["already_done"]), (4, False, True))
        done = run(*self.command("out", "--max-steps", 5, "--resume"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("--max-steps was 4 when the run began, now it is 5", done.stderr)

    def test_free_options_may_change(self):
        self.student()
        self.ok(*self.command("whole", "--max-steps", 12))
        command = self.command("out", "--max-steps", 12, "--save-every", 3)
        process = subprocess.Popen([support.PROGRAM, *map(str, command)], stderr=subprocess.PIPE)
        process.send_signal(signal.SIGKILL) if process.poll() is None else None
        process.communicate()
        self.ok(*self.command("out", "--max-steps", 12, "--save-every", 5, "--threads", 1, "--resume"))
        self.assertEqual(weights_of(self.path("out")), weights_of(self.path("whole")))

    def test_several_files(self):
        """Files stand one behind another, as one file would."""
        self.student()
        rows = examples(60, 1).splitlines(keepends=True)
        parts = [self.write(f"part{i}.tsv", rows[0] + "".join(rows[1 + 30 * i:31 + 30 * i])) for i in range(2)]
        self.ok(*self.command("one", "--max-steps", 5))
        self.ok("train", self.path("student"), "--task", "classify", "--train", parts[0], "--train", parts[1],
                "--batch-size", 8, "--compute", "fp32", "--max-steps", 5, "-q", "-o", self.path("two"))
        self.assertEqual(weights_of(self.path("one")), weights_of(self.path("two")))


if __name__ == "__main__":
    support.main()
