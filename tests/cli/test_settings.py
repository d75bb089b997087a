# SPDX-License-Identifier: Apache-2.0
"""Settings in the files beside the weights: applied, refused or warned about, alike for a checkpoint and its compiled
file."""
import json
import os

import support


def change_json(path, **changes):
    """Sets members of a JSON file; None removes one."""
    value = {}
    if os.path.exists(path):
        with open(path) as stream:
            value = json.load(stream)
    for key, new in changes.items():
        if new is None:
            value.pop(key, None)
        else:
            value[key] = new
    with open(path, "w") as stream:
        json.dump(value, stream)


class Warnings(support.Scratch):
    """What is not applied is said when a checkpoint is opened, and stays in what is compiled from it."""

    def test_kept(self):
        model = self.model()
        change_json(os.path.join(model, "config.json"), rope_theta=10000.0, use_cache=True, name="é" * 200)
        texts = ["config.json: rope_theta: 10000.0 is not applied: this member is not known",
                 'config.json: name: "' + "é" * 29 + "... is not applied: this member is not known"]
        done = self.ok("compile", model, "-o", self.path("m.esp"))
        for text in texts:
            self.assertEqual(done.stderr.count(f"warning: {model}/{text}\n"), 1, done.stderr)
        self.assertNotIn("use_cache", done.stderr)
        done = self.ok("info", "--json", model)
        self.assertEqual(json.loads(done.stdout)["warnings"], texts)
        self.assertEqual(done.stderr.count("rope_theta"), 1)
        done = self.ok("info", "--json", self.path("m.esp"))
        self.assertEqual(json.loads(done.stdout)["warnings"], texts)
        self.assertEqual(done.stderr, "")
        self.assertIn(f"warning       {texts[0]}\n", self.ok("info", self.path("m.esp")).stdout)

    def test_same_bytes_from_anywhere(self):
        """A compiled file does not depend on where its checkpoint stood."""
        model = self.model()
        change_json(os.path.join(model, "config.json"), rope_theta=10000.0)
        self.ok("compile", model, "-o", self.path("a.esp"))
        os.rename(model, self.path("moved"))
        self.ok("compile", self.path("moved") + "/", "-o", self.path("b.esp"))
        with open(self.path("a.esp"), "rb") as a, open(self.path("b.esp"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_none(self):
        model = self.model()
        done = self.ok("compile", model, "-o", self.path("m.esp"))
        self.assertNotIn("warning", done.stderr)
        self.assertEqual(json.loads(self.ok("info", "--json", self.path("m.esp")).stdout)["warnings"], [])


if __name__ == "__main__":
    support.main()
