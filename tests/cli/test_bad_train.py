# SPDX-License-Identifier: Apache-2.0
"""Bad inputs of `train`, one row each: exit code, message, and that nothing is left behind and nothing lost."""
import json
import os
import shutil
import subprocess

import support
from support import run
from train_support import TrainCase, examples, weights_of

QA = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "Ada wrote it in London.", "qas": [
    {"id": "1", "question": "Who wrote it?", "answers": [{"text": "Ada", "answer_start": 0}]}]}]}]}

# name, recipe (a text, or an object around which the stages' common keys are put), message
RECIPE_ROWS = [
    ("not JSON", "{", "recipe.json"),
    ("not an object", "[]", "recipe.json: expected an object, found an array"),
    ("no stages", {}, "stages: expected an array, found nothing"),
    ("stages is no array", {"stages": {}}, "stages: expected an array"),
    ("empty stages", {"stages": []}, "stages: expected at least one stage"),
    ("a stage is no object", {"stages": [1]}, "stages[0]: expected an object"),
    ("a stage without a name", {"stages": [{}]}, "stages[0].name: expected a string, found nothing"),
    ("a name that is a path", {"stages": [{"name": "../x"}]}, "stages[0].name: expected letters, digits"),
    ("an empty name", {"stages": [{"name": ""}]}, "stages[0].name: expected letters, digits"),
    ("a name twice", {"stages": [{"name": "a"}, {"name": "a"}]}, "stages[1].name: expected another name for each"),
    ("unknown key", {"learning_rate": 1, "stages": [{"name": "a"}]},
     'learning_rate: is no option of training; did you mean "learning-rate"?'),
    ("unknown key of a stage", {"stages": [{"name": "a", "sparsness": 1}]},
     'stages[0].sparsness: is no option of training; did you mean "sparsity"?'),
    ("a text for a number", {"stages": [{"name": "a", "epochs": "3"}]}, "stages[0].epochs: expected a number"),
    ("a number for a text", {"stages": [{"name": "a", "dev": 3}]}, "stages[0].dev: expected a string"),
    ("a number for a flag", {"stages": [{"name": "a", "qat": 1}]}, "stages[0].qat: expected true or false"),
    ("a fraction for a whole number", {"stages": [{"name": "a", "batch-size": 1.5}]},
     "stages[0].batch-size: expected an integer from 1 to 1048576"),
    ("below the range", {"stages": [{"name": "a", "batch-size": 0}]}, "stages[0].batch-size: expected"),
    ("above the range", {"stages": [{"name": "a", "dropout": 1}]}, "stages[0].dropout: expected"),
    ("an unknown word", {"stages": [{"name": "a", "pattern": "4x4"}]},
     'stages[0].pattern: expected 4x1, 1x4, 2:4 or unstructured, found "4x4"'),
    ("files that are no texts", {"stages": [{"name": "a", "train": [1]}]}, "stages[0].train[0]: expected a text"),
    ("a stage that does not exist", {"stages": [{"name": "a", "teacher": "stage:b"}]},
     'stages[0]: "stage:b": there is no such stage before this one'),
    ("a stage that is its own teacher", {"stages": [{"name": "a", "teacher": "stage:a"}]}, '"stage:a": there is no'),
    ("a stage from a later one", {"stages": [{"name": "a", "teacher": "stage:b"}, {"name": "b"}]},
     'stages[0]: "stage:b": there is no such stage before this one'),
    ("options that exclude each other", {"stages": [{"name": "a", "sparsity": 0.5, "keep-mask": True}]},
     'stage "a": --keep-mask and --sparsity exclude each other'),
    ("two things to start from", {"stages": [{"name": "a"}, {"name": "b", "init": "bert-tiny", "model": "x"}]},
     'stage "b": expected one of CKPT, --init and --init-from to start from, found more than one'),
]

# what, options over those of a good run, exit code, message; {d} is the scratch directory
OPTION_ROWS = [
    ("no data", {"--train": None}, 2, "--train: expected a file of training data"),
    ("no task", {"--task": None}, 2, "--task: expected qa, classify, tag, embed or mlm"),
    ("an unknown task", {"--task": "translate"}, 2, 'found "translate"'),
    ("missing data", {"--train": "{d}/nothing.tsv"}, 1, "nothing.tsv: No such file"),
    ("missing dev data", {"--dev": "{d}/nothing.tsv"}, 1, "nothing.tsv: No such file"),
    ("missing model", {"CKPT": "{d}/nothing"}, 1, "nothing"),
    ("missing teacher", {"--teacher": "{d}/nothing"}, 1, "nothing"),
    ("a directory for data", {"--train": "{d}/student"}, 1, "student: expected a file, found a directory"),
    ("empty data", {"--train": "{d}/empty.tsv"}, 1, "empty.tsv: "),
    ("data without rows", {"--train": "{d}/header.tsv"}, 1, "header.tsv: expected"),
    ("a malformed row", {"--train": "{d}/malformed.tsv"}, 1, "malformed.tsv: line 4: expected 2 columns"),
    ("a malformed row of the dev data", {"--dev": "{d}/malformed.tsv"}, 1, "malformed.tsv: line 4: expected 2 columns"),
    ("bytes that are no text", {"--train": "{d}/latin.tsv"}, 1, "latin.tsv: line 3: expected UTF-8"),
    ("windows longer than the model", {"--max-length": 65}, 2,
     "--max-length: expected at most the model's 64 positions, found 65"),
    ("not a column of the data", {"--label-column": "mood"}, 1, "mood"),
    ("a label the model lacks", {"CKPT": "{d}/labelled", "--train": "{d}/third.tsv"}, 1, '"c"'),
    ("a label of the dev data the model lacks", {"--dev": "{d}/third.tsv"}, 1, '"c"'),
    ("a teacher with other labels", {"--teacher": "{d}/named"}, 2, 'found "yes"'),
    ("a teacher with more labels", {"--teacher": "{d}/three"}, 2, "expected 2 labels as the student has, found 3"),
    ("a teacher of another task", {"--teacher": "{d}/qa"}, 2, "teacher: expected a model"),
    ("a teacher with another vocabulary", {"--teacher": "{d}/foreign"}, 2, "vocabulary"),
    ("a teacher with other tokens", {"--teacher": "{d}/swapped"}, 2, "both must have the same vocabulary"),
    ("a layer the teacher lacks", {"--teacher": "{d}/labelled", "--hidden-weight": 1, "--layer-map": "0:9"}, 2,
     "has no layer 9"),
    ("a map that is none", {"--teacher": "{d}/labelled", "--layer-map": "0-1"}, 2, "--layer-map: expected pairs"),
    ("sparsity 1", {"--sparsity": 1.0}, 2, "--sparsity: expected a share below 1, found 1"),
    ("sparsity in per cent", {"--sparsity": 80}, 2, "--sparsity: expected a number from 0 to 1"),
    ("2:4 at 80 %", {"--sparsity": 0.8, "--pattern": "2:4"}, 2, "pattern 2:4 has 0.5, found 0.8"),
    ("pruning that ends before it begins", {"--sparsity": 0.5, "--prune-begin": 0.8, "--prune-end": 0.2}, 2,
     "expected pruning to begin before it ends"),
    ("pruning beyond the run", {"--sparsity": 0.5, "--prune-end": 1000}, 2, "--prune-end: expected at most the 4 steps"),
    ("a mask of a dense model", {"--keep-mask": True}, 2, "zero"),
    ("a number that is none", {"--learning-rate": "fast"}, 2, '--learning-rate: expected a number from 0 to 10'),
    ("not finite", {"--learning-rate": "nan"}, 2, "--learning-rate: expected a number"),
    ("patience without dev data", {"--patience": 2}, 2, "--patience needs --dev"),
    ("nothing to learn from", {"--hard-weight": 0}, 2, "--hard-weight: expected more than 0 without --teacher"),
    ("layers of nothing", {"--layers": "0,1"}, 2, "--init-from and --layers go together"),
    ("layers that are not there", {"CKPT": None, "--init-from": "{d}/student", "--layers": "0,7"}, 2, "7"),
    ("a new model without tokens", {"CKPT": None, "--init": "bert-tiny"}, 2, "--init and --tokenizer go together"),
    ("a cut model", {"CKPT": "{d}/cut"}, 1, "cut/model.safetensors"),
    ("a cache that is something else", {"--teacher": "{d}/labelled", "--teacher-cache": "{d}/train.tsv"}, 1,
     "train.tsv: holds no outputs of a teacher"),
    ("SQuAD for classify", {"--train": "{d}/squad.json"}, 1, "squad.json"),
]


class BadTrain(TrainCase):
    def setUp(self):
        super().setUp()
        self.student()
        self.good = {"CKPT": self.path("student"), "--task": "classify", "--train": self.train, "--max-steps": 4,
                     "--batch-size": 8}

    def make_inputs(self):
        self.write("empty.tsv", "")
        self.write("header.tsv", "sentence\tlabel\n")
        self.write("malformed.tsv", "sentence\tlabel\nParis\ta\nParis\tb\nParis\nParis\ta\n")
        self.write("latin.tsv", b"sentence\tlabel\nParis\ta\nM\xfcnchen\tb\n")
        self.write("third.tsv", examples(10, 3) + "Paris\tc\n")
        self.write("squad.json", json.dumps(QA))
        self.model("labelled", head="sequence", labels="a,b")
        self.model("named", head="sequence", labels="a,yes")
        self.model("three", head="sequence", labels="a,b,c")
        self.model("qa", head="qa")
        foreign = self.path("foreign")
        self.ok("init", self.path("student.json"), "--head", "sequence", "--labels", "a,b", "--random-vocab", "-o", foreign)
        swapped, cut = (shutil.copytree(self.path("labelled"), self.path(name)) for name in ("swapped", "cut"))
        os.remove(os.path.join(swapped, "tokenizer.json"))
        with open(os.path.join(swapped, "vocab.txt"), encoding="utf-8") as stream:
            words = stream.read().splitlines()
        self.write("swapped/vocab.txt", "\n".join(words[:-2] + [words[-1], words[-2]]) + "\n")
        os.truncate(os.path.join(cut, "model.safetensors"), 1000)

    def arguments(self, changes):
        out = ["train"]
        for name, value in {**self.good, **changes}.items():
            if value is None:
                continue
            value = value.format(d=self.dir) if isinstance(value, str) else value
            out += [value] if name == "CKPT" else [name] if value is True else [name, value]
        return out + ["-q", "-o", self.path("out")]

    def expect(self, arguments, code, message, what):
        before = sorted(os.listdir(self.dir))
        done = run(*arguments)
        if done.returncode == 0:
            shutil.rmtree(self.path("out"))
        self.assertEqual(done.returncode, code, f"{what}: {done.stderr}")
        self.assertIn(message, done.stderr, what)
        self.assertRegex(done.stderr.splitlines()[-1], r"^espalier train: ", what)
        self.assertEqual(sorted(os.listdir(self.dir)), before, f"{what}: nothing is left")

    def test_options(self):
        self.make_inputs()
        for what, changes, code, message in OPTION_ROWS:
            with self.subTest(what):
                self.expect(self.arguments(changes), code, message, what)
        self.ok(*self.arguments({}))

    def test_recipes(self):
        for what, recipe, message in RECIPE_ROWS:
            with self.subTest(what):
                if not isinstance(recipe, str):
                    recipe = json.dumps({"task": "classify", "train": self.train, **recipe})
                path = self.write("recipe.json", recipe)
                done = run("train", self.path("student"), "--recipe", path, "-o", self.path("out"))
                self.assertIn(done.returncode, (1, 2), what)
                self.assertIn(message, done.stderr, what)
                self.assertIn("recipe.json", done.stderr, what)
                self.assertFalse(os.path.exists(self.path("out")), what)
        done = run("train", self.path("student"), "--recipe", self.path("none.json"), "-o", self.path("out"))
        self.assertEqual((done.returncode, "none.json: No such file" in done.stderr), (1, True), done.stderr)

    def test_directory_in_use(self):
        kept = self.write("out/kept.txt", "mine")
        self.expect(self.arguments({}), 2, "out: expected a new or empty directory", "a directory with files")
        self.assertTrue(os.path.exists(kept))
        shutil.rmtree(self.path("out"))
        self.write("out", "mine")
        self.expect(self.arguments({}), 2, "out: expected a new or empty directory", "a file")

    # ---- runs that stopped ------------------------------------------------------------------------------------------

    def stop(self, *more):
        """A run that has stopped at step 10 of 20, at an evaluation that could not be done."""
        dev = self.write("dev.tsv", examples(20, 2))
        arguments = self.arguments({"--dev": dev, "--max-steps": 20, "--eval-every": 10, "--save-every": 4,
                                    "--dev-limit": 5}) + list(more)
        self.ok(*arguments, "--keep-last")
        self.whole = weights_of(self.path("out"))
        shutil.rmtree(self.path("out"))
        process = subprocess.Popen([support.PROGRAM, *map(str, arguments), "--keep-last"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not self.partial("checkpoint-4"):
            pass
        process.kill()
        process.communicate()
        return arguments + ["--keep-last"]

    def partial(self, name):
        path = self.path("out.partial")
        return os.path.exists(path) and any(entry.startswith(name) and ".tmp-" not in entry
                                            for entry in os.listdir(path))

    def test_resume_refuses(self):
        arguments = self.stop()
        if os.path.exists(self.path("out")):
            self.skipTest("the run was faster than the kill")
        before = {name: os.path.getmtime(self.path("out.partial", name)) for name in os.listdir(self.path("out.partial"))}
        rows = [([], 2, "a run stopped here: --resume goes on with it"),
                (["--resume", "--learning-rate", "1e-3"], 2, "--learning-rate was 5e-05 when the run began, now it is 0.001"),
                (["--resume", "--sparsity", "0.5"], 2, "--sparsity was 0.0 when the run began, now it is 0.5"),
                (["--resume", "--seed", "9"], 2, "--seed was 1 when the run began, now it is 9")]
        for more, code, message in rows:
            self.expect([*arguments, *more], code, message, more)
        self.write("train.tsv", examples(60, 7))
        self.expect([*arguments, "--resume"], 2, "the training data", "changed data")
        self.write("train.tsv", examples(60, 1))
        after = {name: os.path.getmtime(self.path("out.partial", name)) for name in os.listdir(self.path("out.partial"))}

        def complete(names):  # a state whose checkpoint was not written before the kill is no loss
            return sorted(n for n in names if n.startswith(("checkpoint", "state")) and ".tmp-" not in n
                          and n.replace("state", "checkpoint") in names)

        self.assertEqual(complete(before), complete(after))
        self.ok(*arguments, "--resume")
        self.assertEqual(weights_of(self.path("out")), self.whole)

    def test_damaged_checkpoint(self):
        arguments = self.stop()
        if os.path.exists(self.path("out")):
            self.skipTest("the run was faster than the kill")
        last = max((n for n in os.listdir(self.path("out.partial")) if n.startswith("state-") and ".tmp-" not in n
                    and os.path.exists(self.path("out.partial", n.replace("state", "checkpoint")))),
                   key=lambda n: int(n[6:]))
        state, model = (self.path("out.partial", last),
                        self.path("out.partial", last.replace("state", "checkpoint"), "model.safetensors"))
        for path, message in ((state, last), (model, "model.safetensors")):
            with open(path, "rb") as stream:
                good = stream.read()
            for bad in (good[:len(good) // 2], b""):
                with open(path, "wb") as stream:
                    stream.write(bad)
                self.expect([*arguments, "--resume"], 1, message, path)
            with open(path, "wb") as stream:
                stream.write(good)
        with open(state, "r+b") as stream:  # one bit
            stream.seek(len(good) // 2 if len(good) < os.path.getsize(state) else 200)
            byte = stream.read(1)[0]
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte ^ 1]))
        self.expect([*arguments, "--resume"], 1, "checksum", "a bit of the state")

    def test_divergence(self):
        """Stops with the step; the last checkpoint stays."""
        done = run(*self.arguments({"--learning-rate": 10, "--max-norm": 0, "--max-steps": 500, "--schedule": "constant",
                                    "--compute": "fp32", "--weight-decay": 1, "--save-every": 1}))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"step \d+: the loss is -?(nan|inf|[\d.e+]+) and the gradient's norm -?(nan|inf)")
        kept = [name for name in os.listdir(self.path("out.partial")) if name.startswith("checkpoint-")]
        self.assertEqual(len(kept), 1)
        self.assertIn(f"the last checkpoint is {self.path('out.partial', kept[0])}", done.stderr)
        self.ok("info", self.path("out.partial", kept[0]))

    def test_dev_data_that_go_away(self):
        """An evaluation that fails keeps the work until there."""
        dev = self.write("dev.tsv", examples(20, 2))
        arguments = self.arguments({"--dev": dev, "--max-steps": 400, "--eval-every": 200, "--save-every": 0})
        self.ok(*arguments)
        whole = weights_of(self.path("out"))
        shutil.rmtree(self.path("out"))
        process = subprocess.Popen([support.PROGRAM, *map(str, arguments), "--log-every", "1"], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        log = self.path("out.partial", "train.jsonl")
        while process.poll() is None and not (os.path.exists(log) and os.path.getsize(log)):
            pass
        os.rename(dev, dev + ".away")
        _, error = process.communicate()
        os.rename(dev + ".away", dev)
        if process.returncode == 0:
            self.skipTest("the run was faster")
        self.assertEqual(process.returncode, 1, error)
        self.assertRegex(error, r"the run stands at step (200|400) in .*; --resume goes on")
        self.ok(*arguments, "--resume")
        self.assertEqual(weights_of(self.path("out")), whole)

    # ---- disks ------------------------------------------------------------------------------------------------------

    def limited(self, arguments, blocks):
        command = " ".join("'" + str(a) + "'" for a in [support.PROGRAM, *arguments])
        return subprocess.run(["bash", "-c", f"ulimit -f {blocks}; exec {command}"], capture_output=True, text=True,
                              timeout=300)

    def test_full_disk(self):
        """A limit on the size of files stands for a disk that is full: no checkpoint can be written, then one can."""
        arguments = self.arguments({"--max-steps": 12, "--save-every": 5, "--log-every": 1})
        self.ok(*arguments)
        whole = weights_of(self.path("out"))
        shutil.rmtree(self.path("out"))
        done = self.limited(arguments, 20)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("cannot write: File too large", done.stderr)
        self.assertFalse(any("out" in name for name in os.listdir(self.dir)))
        small = os.path.getsize(os.path.join(self.path("student"), "model.safetensors")) // 1024 + 8
        done = self.limited(arguments, small)  # the model fits, the larger state does not
        self.assertEqual(done.returncode, 1, done.stderr)
        self.ok(*arguments, "--resume")
        self.assertEqual(weights_of(self.path("out")), whole)

    def test_unwritable_place(self):
        self.write("file", "")
        self.expect(self.arguments({})[:-1] + [self.path("file", "out")], 1, "file", "a file for a directory")
        self.expect(self.arguments({})[:-1] + [self.path("none", "out")], 1, "none", "no such directory")


if __name__ == "__main__":
    support.main()
