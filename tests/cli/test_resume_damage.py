# SPDX-License-Identifier: Apache-2.0
"""--resume with a flipped bit in any file of the run: refused, or the same weights in the end."""
import os
import random
import shutil
import signal
import struct
import subprocess
import time

import support
from train_support import examples, weights_of

FLIPS = 4  # of each file


class Damage(support.Scratch):
    def setUp(self):
        super().setUp()
        self.write("train.tsv", examples(60, 1))
        self.write("dev.tsv", examples(20, 2))
        self.model("student", head="sequence", labels="a,b")

    def command(self, steps):
        return ["train", self.path("student"), "--task", "classify", "--train", self.path("train.tsv"), "--dev",
                self.path("dev.tsv"), "--eval-every", "4", "--save-every", "6", "--max-steps", str(steps), "--qat",
                "--batch-size", "4", "-q", "-o", self.path("out")]

    def stopped(self):
        """A run that has stopped behind a checkpoint, with a best model: its command and its directory, kept aside."""
        arguments = self.command(4000)
        process = subprocess.Popen([support.PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not any(n.startswith("best-") and ".tmp" not in n for n in self.entries()):
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)
        os.rename(self.path("out.partial"), self.path("kept"))
        return arguments

    def entries(self):
        return os.listdir(self.path("out.partial")) if os.path.exists(self.path("out.partial")) else []

    def files(self):
        return sorted(os.path.relpath(os.path.join(place, name), self.path("kept"))
                      for place, _, names in os.walk(self.path("kept")) for name in names)

    def resume(self, arguments, change):
        """Resumes a changed copy."""
        shutil.rmtree(self.path("out.partial"), ignore_errors=True)
        shutil.copytree(self.path("kept"), self.path("out.partial"))
        change(self.path("out.partial"))
        return subprocess.Popen([support.PROGRAM, *arguments, "--resume"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def test_flipped_bits(self):
        arguments = self.stopped()
        rng = random.Random(1)
        files = self.files()
        for part in ("best-", "checkpoint-", "state-", "tokenizer/", "train_options.json", "train.jsonl"):
            self.assertTrue(any(name.startswith(part) for name in files), part)
        for name in (n for n in files if n not in ("train.jsonl", "train_options.json")):  # below
            for _ in range(FLIPS):
                def flip(directory, name=name):
                    with open(os.path.join(directory, name), "r+b") as stream:
                        at = rng.randrange(os.path.getsize(stream.name))
                        stream.seek(at)
                        byte = stream.read(1)[0] ^ 1 << rng.randrange(8)
                        stream.seek(at)
                        stream.write(bytes([byte]))
                process = self.resume(arguments, flip)
                errors = process.communicate(timeout=120)[1]
                self.assertEqual(process.returncode, 1, f"{name}: {errors}")
                if not name.startswith("state-"):
                    self.assertIn(f"{name}: damaged or changed", errors)
                    self.assertIn("begin it anew", errors)
                self.assertEqual(self.files(), sorted(files))

    def test_files_that_are_missing(self):
        arguments = self.stopped()
        for name in self.files():
            if name.startswith(("best-", "checkpoint-", "tokenizer/")):
                process = self.resume(arguments, lambda directory, name=name: os.unlink(os.path.join(directory, name)))
                errors = process.communicate(timeout=120)[1]
                self.assertEqual((process.returncode, f"{name}: is missing" in errors), (1, True), errors)

    def test_options_and_log_are_harmless(self):
        """A run that ends soon: whatever is flipped there, it is refused or its weights are the same."""
        arguments = self.command(40)
        self.ok(*arguments)
        whole = weights_of(self.path("out"))
        shutil.rmtree(self.path("out"))
        process = subprocess.Popen([support.PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not any(n.startswith("checkpoint-") and ".tmp" not in n for n in self.entries()) and process.poll() is None:
            pass
        process.kill()
        process.wait()
        if not os.path.exists(self.path("out.partial")):
            self.skipTest("the run was faster than the kill")
        os.rename(self.path("out.partial"), self.path("kept"))
        rng = random.Random(2)
        for name in ("train_options.json", "train.jsonl"):
            for _ in range(FLIPS):
                def flip(directory, name=name):
                    with open(os.path.join(directory, name), "r+b") as stream:
                        content = bytearray(stream.read())
                        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
                        stream.seek(0)
                        stream.write(content)
                process = self.resume(arguments, flip)
                errors = process.communicate(timeout=120)[1]
                if process.returncode == 0:
                    self.assertEqual(weights_of(self.path("out")), whole, name)
                    shutil.rmtree(self.path("out"))
                else:
                    self.assertIn(process.returncode, (1, 2), errors)

    def test_a_state_without_checksums(self):
        arguments = self.stopped()
        state = next(n for n in self.files() if n.startswith("state-"))

        def age(directory):
            with open(os.path.join(directory, state), "r+b") as stream:
                stream.write(b"ESPSTAT1" + struct.pack("<Q", 5))
        process = self.resume(arguments, age)
        errors = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1)
        self.assertIn("is of an older version and has no checksums of the model beside it", errors)
        self.assertIn("begin the run anew", errors)


if __name__ == "__main__":
    support.main()
