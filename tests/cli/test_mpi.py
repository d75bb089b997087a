# SPDX-License-Identifier: Apache-2.0
"""train under mpirun: the losses of one process, one message for an error, ranks that die."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import support
from train_support import TrainCase, log_of, weights_of

# As root, and more ranks than cores: CI does both. Open MPI leaves memory behind, which is not ours to find.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "ESPALIER_THREADS": "1",
               "ASAN_OPTIONS": "detect_leaks=0"}


def mpirun(ranks, *arguments):
    return ["mpirun", "--oversubscribe", "-n", str(ranks), support.PROGRAM, *map(str, arguments)]


class Mpi(TrainCase):
    def run_ranks(self, ranks, *arguments):
        return subprocess.run(mpirun(ranks, *arguments), capture_output=True, text=True, timeout=300, env=ENVIRONMENT)

    def ranks_ok(self, ranks, *arguments):
        done = self.run_ranks(ranks, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def command(self, output, *more):
        return ["train", self.path("student"), "--task", "classify", "--train", self.train, "--dev", self.dev,
                "--batch-size", 16, "--compute", "fp32", "--log-every", 1, *more, "-q", "-o", self.path(output)]

    def assert_same_losses(self, one, other, bound):
        one, other = ([line for line in log_of(d) if "loss" in line] for d in (one, other))
        self.assertEqual([line["step"] for line in one], [line["step"] for line in other])
        for a, b in zip(one, other):
            self.assertLessEqual(abs(a["loss"] - b["loss"]), bound * abs(a["loss"]), (a, b))

    def test_losses_of_one_process(self):
        self.student()
        options = ["--max-steps", 100, "--learning-rate", 1e-3, "--warmup", 10]
        self.ok(*self.command("one", *options))
        report = json.loads(self.ranks_ok(2, *self.command("two", *options, "--json")).stdout)
        self.assertEqual(report["steps"], 100)
        self.assert_same_losses(self.path("one"), self.path("two"), 1e-3)

    def test_three_ranks(self):
        """Steps that the ranks do not divide; the same bits every time."""
        self.student()
        options = ["--max-steps", 12, "--learning-rate", 1e-3, "--batch-size", 10]
        self.ok(*self.command("one", *options))
        for name in ("three", "again"):
            self.ranks_ok(3, *self.command(name, *options))
        self.assert_same_losses(self.path("one"), self.path("three"), 1e-3)
        self.assertEqual(weights_of(self.path("three")), weights_of(self.path("again")))

    def test_everything_at_once(self):
        self.student(), self.teacher()
        self.ok(*self.mix("one"))
        self.ranks_ok(2, *self.mix("two", "--teacher-cache", self.path("cache")))
        self.assert_same_losses(self.path("one"), self.path("two"), 5e-2)  # roundings of int8 fall to either side
        self.assertEqual([line.get("sparsity") for line in log_of(self.path("one"))],
                         [line.get("sparsity") for line in log_of(self.path("two"))])

    def test_recipe(self):
        self.student()
        recipe = self.write("recipe.json", json.dumps({
            "task": "classify", "train": self.train, "batch-size": 8, "max-steps": 4, "compute": "fp32",
            "stages": [{"name": "tune"}, {"name": "prune", "teacher": "stage:tune", "sparsity": 0.5}]}))
        self.ranks_ok(2, "train", self.path("student"), "--recipe", recipe, "-q", "-o", self.path("out"))
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["prune", "tune"])

    def test_one_message(self):
        self.model("student", head="sequence", labels="a,b")
        for arguments, message in ((self.command("out", "--sparsity", "1"), "--sparsity: expected a share below 1"),
                                   (self.command("out", "--train", self.path("none.tsv")), "none.tsv: No such file"),
                                   (self.command("out", "--teacher", self.path("none")), "none"),
                                   (self.command("out", "--recipe", self.path("none.json")), "none.json: No such file"),
                                   (self.command("out", "--epochs", "many"), "--epochs: expected a number")):
            done = self.run_ranks(2, *arguments)
            self.assertNotEqual(done.returncode, 0)
            said = [line for line in done.stderr.splitlines() if line.startswith("espalier")]
            self.assertEqual(len(said), 1, done.stderr)
            self.assertIn(message, said[0])
            self.assertFalse(any(name.startswith("out") for name in os.listdir(self.dir)))

    # ---- ranks that die ---------------------------------------------------------------------------------------------

    def ranks_of(self, launcher):
        """The processes that mpirun has started, by their parent."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as stream:
                    parent = int(stream.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{name}/environ", "rb") as stream:
                    values = dict(v.split(b"=", 1) for v in stream.read().split(b"\0") if b"=" in v)
            except OSError:
                continue
            if parent == launcher and b"OMPI_COMM_WORLD_RANK" in values:
                found.append((int(values[b"OMPI_COMM_WORLD_RANK"]), int(name)))
        return [pid for _, pid in sorted(found)]

    def start(self, arguments):
        process = subprocess.Popen(mpirun(2, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=ENVIRONMENT)
        while process.poll() is None and not self.has_checkpoint():
            time.sleep(0.005)
        return process

    def has_checkpoint(self):
        path = self.path("out.partial")
        return os.path.exists(path) and any(n.startswith("checkpoint-") and ".tmp-" not in n for n in os.listdir(path))

    def test_a_rank_dies(self):
        """The run ends, and can be resumed: with as many ranks to the same bits, with one to the same losses."""
        self.student()
        arguments = self.command("out", "--max-steps", 40, "--save-every", 2)
        self.ranks_ok(2, *arguments)
        os.rename(self.path("out"), self.path("whole"))
        for victim, ranks in ((1, 2), (0, 1)):
            process = self.start(arguments)
            pids = self.ranks_of(process.pid)
            if process.poll() is None and len(pids) == 2:
                os.kill(pids[victim], signal.SIGKILL)
                self.assertNotEqual(process.wait(timeout=120), 0)
                self.assertFalse(os.path.exists(self.path("out")))
            process.communicate()
            if ranks == 2:
                self.ranks_ok(2, *arguments, "--resume")
                self.assertEqual(weights_of(self.path("out")), weights_of(self.path("whole")))
            else:
                self.ok(*arguments, "--resume")
            self.assert_same_losses(self.path("out"), self.path("whole"), 1e-3)
            shutil.rmtree(self.path("out"))

    def test_signal(self):
        """SIGTERM to mpirun reaches the ranks, which leave a checkpoint to go on from."""
        self.student()
        arguments = self.command("out", "--max-steps", 40, "--save-every", 2)
        self.ranks_ok(2, *arguments)
        os.rename(self.path("out"), self.path("whole"))
        process = self.start(arguments)
        process.terminate()
        process.communicate(timeout=120)
        self.ranks_ok(2, *arguments, "--resume")
        self.assertEqual(weights_of(self.path("out")), weights_of(self.path("whole")))


def has_mpi():
    """Whether there is an mpirun, and the program was built with MPI."""
    if not shutil.which("mpirun"):
        return False
    with open(support.PROGRAM, "rb") as program:
        return b"libmpi.so" in program.read()  # the name it loads the library by


if __name__ == "__main__":
    if not has_mpi():
        print("skipped: no mpirun, or built without MPI")
        sys.exit(77)
    support.main()
