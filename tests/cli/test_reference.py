# SPDX-License-Identifier: Apache-2.0
"""The commands against the reference data: SQuAD figures, tokenizer cases, logits; where it is absent, against the part of it
that ships."""
import json
import os
import re
import struct
import sys

import support
from support import lines

WHOLE = os.path.isdir(os.path.join(support.SHARED, "reference"))
REFERENCE = os.path.join(support.SHARED if WHOLE else support.SHIPPED, "reference")
SQUAD = os.path.join(support.SHARED, "data", "squad")


def read_npy(path):
    """(shape, values) of a little-endian .npy file of version 1."""
    with open(path, "rb") as stream:
        raw = stream.read()
    length = struct.unpack("<H", raw[8:10])[0]
    text = raw[10:10 + length].decode()
    shape = tuple(int(n) for n in re.search(r"'shape': \(([^)]*)\)", text).group(1).split(",") if n.strip())
    kind = "f" if "<f4" in text else "i"
    return shape, struct.unpack(f"<{(len(raw) - 10 - length) // 4}{kind}", raw[10 + length:])


@support.unittest.skipUnless(WHOLE, f"no reference data at {support.SHARED}")
class Squad(support.Scratch):
    def test_official_figures(self):
        published = {"bert-ensemble": (86.206, 92.196), "rnet-ensemble": (82.469, 88.478),
                     "slqa-ensemble": (81.949, 88.384), "match-lstm-ensemble": (67.635, 76.756),
                     "logistic-regression": (40.142, 50.982)}
        for name, (exact, f1) in published.items():
            done = self.ok("eval", "--task", "qa", "--json", "--data", os.path.join(SQUAD, "dev-v1.1.json"),
                           "--predictions", os.path.join(SQUAD, "predictions", f"{name}.json"))
            report = json.loads(done.stdout)
            self.assertEqual((round(report["exact_match"], 3), round(report["f1"], 3)), (exact, f1), name)
            self.assertEqual(report["missing"], 13 if name == "logistic-regression" else 0)


class Tokenize(support.Scratch):
    def test_cases(self):
        for kind in ("cased", "uncased"):
            tokenizer = os.path.join(REFERENCE, "tokenizer", f"tokenizer-{kind}.json")
            for group in ("strings", "pairs"):
                with open(os.path.join(REFERENCE, "tokenizer", f"{group}-{kind}.jsonl"), encoding="utf-8") as stream:
                    cases = [json.loads(line) for line in stream]
                stdin = "".join(json.dumps({k: c[k] for k in ("text", "pair") if k in c}) + "\n" for c in cases)
                answers = lines(self.ok("tokenize", tokenizer, stdin=stdin))
                self.assertEqual(len(answers), len(cases))
                for case, answer in zip(cases, answers):
                    for field in ("ids", "tokens", "offsets", "type_ids", "special_tokens_mask"):
                        self.assertEqual(answer[field], case[field], (kind, group, case["text"][:80]))

    def test_windows(self):
        """Max length and stride differ from case to case; cases that share them are tokenized together."""
        for kind in ("cased", "uncased"):
            tokenizer, groups = os.path.join(REFERENCE, "tokenizer", f"tokenizer-{kind}.json"), {}
            with open(os.path.join(REFERENCE, "tokenizer", f"qa-overflow-{kind}.jsonl"), encoding="utf-8") as stream:
                for case in map(json.loads, stream):
                    groups.setdefault((case["max_length"], case["stride"]), []).append(case)
            for (length, stride), cases in groups.items():
                stdin = "".join(json.dumps({k: c[k] for k in ("text", "pair")}) + "\n" for c in cases)
                answers = lines(self.ok("tokenize", tokenizer, "--max-length", length, "--stride", stride,
                                        "--truncation", "only_second", stdin=stdin))
                for case, answer in zip(cases, answers):
                    for field in ("ids", "offsets", "type_ids"):
                        self.assertEqual(answer[field], case[field], case["pair"][:80])
                        self.assertEqual([w[field] for w in answer["overflow"]], [w[field] for w in case["overflow"]])


class Raw(support.Scratch):
    """Rows of a padded reference batch, without their padding and in one ragged batch, give the reference logits."""

    def rows(self, model, case):
        folder = os.path.join(REFERENCE, "models", model, "reference", case)
        (count, width), ids = read_npy(os.path.join(folder, "input_ids.npy"))
        _, mask = read_npy(os.path.join(folder, "attention_mask.npy"))
        types = os.path.join(folder, "token_type_ids.npy")
        types = read_npy(types)[1] if os.path.exists(types) else [0] * (count * width)
        for row in range(count):
            length = sum(mask[row * width:(row + 1) * width])
            yield {"input_ids": ids[row * width:row * width + length],
                   "token_type_ids": types[row * width:row * width + length]}

    def check(self, model, outputs):
        if not WHOLE and not os.path.isdir(os.path.join(REFERENCE, "models", model)):
            self.skipTest(f"{model} does not ship")
        for case in sorted(os.listdir(os.path.join(REFERENCE, "models", model, "reference"))):
            rows = list(self.rows(model, case))
            answers = lines(self.ok("run", os.path.join(REFERENCE, "models", model), "--raw",
                                    stdin="".join(json.dumps(row) + "\n" for row in rows)))
            for member, file in outputs.items():
                shape, values = read_npy(os.path.join(REFERENCE, "models", model, "reference", case, f"{file}.npy"))
                size = len(values) // shape[0]
                for number, answer in enumerate(answers):
                    flat = json.dumps(answer[member]).replace("[", "").replace("]", "").split(",")
                    for found, expected in zip(map(float, flat), values[number * size:]):
                        self.assertAlmostEqual(found, expected, delta=1e-4, msg=f"{model} {case} row {number}")

    def test_question_answering(self):
        self.check("bert-tiny-qa", {"start_logits": "start_logits", "end_logits": "end_logits"})

    def test_sequence_classification(self):
        self.check("distilbert-tiny-seqcls", {"logits": "logits"})
        self.check("bert-tiny-multilabel", {"logits": "logits"})

    def test_token_classification(self):
        self.check("bert-tiny-tokcls", {"logits": "logits"})

    def test_bare_encoder(self):
        self.check("minilm-tiny-encoder", {"hidden": "hidden_last"})


if __name__ == "__main__":
    if not WHOLE and os.environ.get("CI"):
        sys.exit(f"failed: no reference data at {support.SHARED}")
    support.main()
