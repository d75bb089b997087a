# SPDX-License-Identifier: Apache-2.0
"""The recipes that are shipped, and what docs/training.md says about recipes and options."""
import json
import os
import re
import sys

import support
from train_support import TrainCase

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
RECIPES = os.path.join(ROOT, "recipes")
sys.path.insert(0, os.path.join(ROOT, "tools"))
import train_options_table  # noqa: E402 (found by the line above)


class Recipes(TrainCase):
    def stages(self, name, *arguments):
        done = self.ok("train", *arguments, "--recipe", os.path.join(RECIPES, name), "--check", "-o", self.path("out"))
        self.assertFalse(os.path.exists(self.path("out")))
        return {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}

    def test_all_are_valid(self):
        names = sorted(os.listdir(RECIPES))
        self.assertGreaterEqual(len(names), 4)
        for name in names:
            with open(os.path.join(RECIPES, name), encoding="utf-8") as stream:
                text = json.load(stream)
            data = [] if name == "from-scratch.json" else ["MODEL", "--train", "t", "--dev", "d"]
            stages = self.stages(name, *data)
            self.assertEqual(list(stages), [stage["name"] for stage in text["stages"]], name)
            self.assertIn(f"--recipe {name}", text["description"])

    def test_published_numbers(self):
        for sparsity in (80, 90):
            stages = self.stages(f"distilbert-squad-{sparsity}.json", "MODEL", "--train", "t.json", "--dev", "d.json")
            prune = stages["prune"]
            self.assertEqual(prune["sparsity"], sparsity / 100)
            self.assertEqual((prune["model"], prune["teacher"]), (self.path("out", "tune"), self.path("out", "tune")))
            self.assertEqual(stages["tune"]["model"], "MODEL")
            self.assertEqual(prune["train"], ["t.json"])
            self.assertEqual([prune[key] for key in ("learning-rate", "epochs", "batch-size", "pattern", "score")],
                             [1e-4, 20, 16, "4x1", "snip-momentum"])
            self.assertTrue(stages["round"]["qat"] and stages["round"]["keep-mask"])

    def test_options_go_over_the_recipe(self):
        stages = self.stages("bert-mini-sst2-90.json", "MODEL", "--train", "a", "--train", "b", "--epochs", "0.5", "--seed", "7")
        for stage in stages.values():
            self.assertEqual((stage["train"], stage["epochs"], stage["seed"]), (["a", "b"], 0.5, 7))

    def test_from_scratch_runs(self):
        """All stages of the recipe on a little text, with a small model."""
        self.ok("vocab", self.write("text.txt", support.TEXT), "--size", 200, "--min-frequency", 1, "-o",
                self.path("vocabulary"))
        self.write("tiny.json", json.dumps(support.TINY))
        with open(os.path.join(RECIPES, "from-scratch.json"), encoding="utf-8") as stream:
            recipe = json.load(stream)
        recipe["stages"][0]["init"] = self.path("tiny.json")
        path = self.write("recipe.json", json.dumps(recipe))
        here = os.getcwd()
        os.chdir(self.dir)
        try:
            done = self.ok("train", "--recipe", path, "--max-steps", 5, "-q", "-o", "out")
            self.assertIn("max_length 128 is more than the model's 64 positions: using 64", done.stderr)
            found = json.loads(self.ok("info", "out/round", "--json").stdout)
            self.assertAlmostEqual(found["sparsity"], 0.8, places=1)
            self.ok("compile", "out/round", "-o", "model.esp")
            self.ok("eval", "model.esp", "--task", "classify", "--data", "dev.tsv")
        finally:
            os.chdir(here)


class Documents(support.Scratch):
    def test_table_of_options(self):
        with open(train_options_table.DOCS, encoding="utf-8") as stream:
            _, inside, _ = train_options_table.split(stream.read())
        self.assertEqual(inside.strip(), train_options_table.table().strip(),
                         "docs/training.md is behind: tools/train_options_table.py --write")

    def test_table_is_what_the_program_has(self):
        done = self.ok("train", "M", "--task", "qa", "--train", "t", "--check", "-o", self.path("out"))
        options = json.loads(done.stdout)["stages"][0]
        options.pop("name")
        rows = [row for row in train_options_table.rows() if row[0] != "GROUP"]
        self.assertEqual([fields[1] for _, fields, _ in rows], list(options))
        words = train_options_table.word_lists()
        for kind, fields, _ in rows:
            if kind in ("SIZE", "REAL"):
                self.assertEqual(float(fields[2]), options[fields[1]], fields[1])
            if kind == "WORD":
                self.assertEqual(words[fields[3]][int(fields[2])], options[fields[1]])
        flags = re.findall(r"--([a-z][a-z0-9-]*)", self.ok("train", "--help").stdout)
        self.assertLessEqual({fields[1] for _, fields, _ in rows} - {"model"}, set(flags))

    def test_recipes_are_listed(self):
        with open(train_options_table.DOCS, encoding="utf-8") as stream:
            text = stream.read()
        for name in os.listdir(RECIPES):
            self.assertIn(f"`{name}`", text)


if __name__ == "__main__":
    support.main()
