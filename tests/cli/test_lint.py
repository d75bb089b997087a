#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/lint-includes.sh: the tree as it stands passes, and each kind of wrong include is caught and named."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */"

# What is added to which file, and what the lint says.
WRONG = [
    ("src/run/plan.c", '#include "create/compile/compile.h"', "src/run may include only"),
    ("src/create/prune/pruner.c", '#include "create/train/trainer.h"', "src/create/prune may include only"),
    ("src/create/layers/loss.c", '#include "create/network/network.h"', "src/create/layers may include only"),
    ("src/create/train/trainer.c", '#include "run/session.h"', "src/create/train may include only"),
    ("src/create/train/trainer.c", '#include "create/feed/feed_private.h"', "by its own folder alone"),
    ("cli/cmd_train.c", '#include "create/train/trainer_private.h"', "by its own folder alone"),
    ("src/eval/metric.c", '#include "../tasks/task.h"', "includes are written"),
    ("src/create/stray.c", LICENCE, "stands in no room"),
    ("src/create/attic/attic.c", LICENCE, "src/create/attic: has no row"),
]


class Lint(unittest.TestCase):
    def test_wrong_includes(self):
        with tempfile.TemporaryDirectory() as scratch:
            def lint():
                done = subprocess.run(["sh", "tools/lint-includes.sh"], cwd=scratch, capture_output=True, text=True)
                return done.returncode, done.stdout + done.stderr

            for folder in "src", "cli", "include", "tools":
                shutil.copytree(ROOT / folder, pathlib.Path(scratch, folder))
            subprocess.run(["git", "init", "-q"], cwd=scratch, check=True)
            self.assertEqual(lint(), (0, ""))
            for name, line, _ in WRONG:
                path = pathlib.Path(scratch, name)
                path.parent.mkdir(exist_ok=True)
                with path.open("a") as file:
                    file.write(line + "\n")
            code, text = lint()
            self.assertEqual(code, 1, text)
            for name, line, said in WRONG:
                with self.subTest(file=name, line=line):
                    self.assertIn(said, text)
                    if line != LICENCE:
                        self.assertRegex(text, f"{name}:[0-9]+:{line}")


if __name__ == "__main__":
    unittest.main(argv=["test_lint"])
