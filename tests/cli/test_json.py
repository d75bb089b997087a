# SPDX-License-Identifier: Apache-2.0
"""JSON as real files and users write it: numbers of any size, ids of any type, bytes that are no characters."""
import json
import os
import struct
import subprocess

import support
from support import lines, run

ASK = '"question": "who wrote the program", "context": "ada wrote the first program"'
# Not printable as they are, or changed by a parser that knows only doubles.
IDS = ['1733011200.123456', '123456789012345678901234567890', '-0.0', '1e999', '1.50', '"a\\u0000b"', '"\\u00e9\\ud83d\\ude00"',
       '"é/\\/"', 'null', 'true', '[]', '[1, {"x" : "}\\"]"}]', '{"id": 1}', '""', '9223372036854775808',
       '[' * 120 + ']' * 120]


class Numbers(support.Scratch):
    def change(self, model, name, **members):
        """Sets members of a JSON file to values that are given as text."""
        path = os.path.join(model, name)
        with open(path) as stream:
            known = json.load(stream)
        for key in members:
            known.pop(key, None)
        text = json.dumps(known)[1:-1]
        stated = ", ".join(f'"{key}": {value}' for key, value in members.items())
        self.write(path, "{" + ", ".join(part for part in (text, stated) if part) + "}")

    def test_no_limit(self):
        model = self.model()
        before = self.ok("run", model, stdin="{" + ASK + "}").stdout
        for limit in ("1000000000000000019884624838656", "1e30", "1e999", "1" + "0" * 400, "9223372036854775808", "512.0"):
            self.change(model, "tokenizer_config.json", model_max_length=limit)
            self.assertEqual(self.ok("run", model, stdin="{" + ASK + "}").stdout, before, limit)

    def test_fields(self):
        model = self.model()
        self.change(model, "config.json", hidden_size="16.0", vocab_size="2e2", unknown="1" + "0" * 30, other="-1e400")
        self.ok("run", model, stdin="{" + ASK + "}")
        self.ok("compile", model, "-o", self.path("m.esp"))
        for value, found in (("1" + "0" * 30, "1e+30"), ("16.5", "16.5"), ("1e400", "1e308 or more"), ("-1e400", "-1e308 or less")):
            self.change(model, "config.json", hidden_size=value, other="-1e400")
            done = run("run", model, stdin="{" + ASK + "}")
            self.assertEqual(done.returncode, 1)
            self.assertIn("config.json: hidden_size: expected an integer from 1 to 65536, found", done.stderr)
            self.assertIn(found, done.stderr)

    def test_not_finite(self):
        """A model whose logits overflow: each line has its place, none has fewer numbers."""
        model = self.model(head="sequence", labels="a,b,c", architectures=["BertForSequenceClassification"])
        weights = os.path.join(model, "model.safetensors")
        header, data = support.read_safetensors(weights)
        for name, value in (("bert.pooler.dense.bias", 10), ("classifier.weight", 3e38)):  # 16 of which are too many
            begin, end = header[name]["data_offsets"]
            begin, end = (begin, end) if value == 10 else (begin + 64, begin + 128)
            data = data[:begin] + struct.pack("<f", value) * ((end - begin) // 4) + data[end:]
        support.write_safetensors(weights, header, data)
        done = run("run", model, "--raw", stdin='{"id": 1.50, "input_ids": [1, 2]}\n{"input_ids": [2]}\n')
        self.assertEqual(done.returncode, 1)
        first, second = lines(done)
        self.assertIn("line 1: logits: value 2 of 3 is infinite", first["error"])
        self.assertEqual((first["id"], second["line"]), (1.5, 2))
        done = run("run", model, stdin='{"text": "ada"}\n{"text": "london"}\n')
        self.assertEqual([line["line"] for line in lines(done)], [1, 2])


class Lines(support.Scratch):
    def test_ids(self):
        """An id comes back byte for byte, from every command and in errors."""
        model = self.model()
        for command, body, key in ((("run", model), ASK, "answer"), (("run", model, "--raw"), '"input_ids": [1, 2]', "start_logits"),
                                   (("tokenize", model), '"text": "ada"', "ids"), (("run", model), '"question": 1', "error"),
                                   (("run", model, "--raw"), '"input_ids": []', "error"), (("tokenize", model), '"x": 1', "error"),
                                   (("run", model, "--top-k", 2), ASK, "result")):
            asked = [f'{{{body}, "\\u0069d" : {id}}}' if n % 2 else f'{{"id":{id} , {body}}}' for n, id in enumerate(IDS)]
            done = run(*command, stdin="\n".join(asked) + "\n")
            self.assertEqual(done.returncode, int(key == "error"), done.stderr)
            answers = done.stdout.splitlines()
            self.assertEqual(len(answers), len(IDS))
            for answer, id in zip(answers, IDS):
                self.assertTrue(answer.startswith(f'{{"id":{id},"'), answer[:200])
                self.assertIn(key, json.loads(answer))

    def test_cut_characters(self):
        """A message that quotes part of a text cuts it anywhere; the lines behind it are answered all the same."""
        model = self.model()
        for text in ("é" * 40, "a" + "é" * 40, "日" * 40, "ab" + "日" * 40, "😀" * 40, "a" + "😀" * 40):
            for command, good, bad in ((("run", model), "{" + ASK + "}", json.dumps(text, ensure_ascii=False)),
                                       (("tokenize", model), '{"text": "ada"}', json.dumps({"text": [text]}, ensure_ascii=False)),
                                       (("run", model), "{" + ASK + "}", json.dumps({"question": [text], "context": text})),
                                       (("run", model, "--raw"), '{"input_ids": [1, 2]}',
                                        json.dumps({"input_ids": text}, ensure_ascii=False))):
                done = run(*command, stdin=f"{good}\n{bad}\n\n{good}\n")
                self.assertEqual(done.returncode, 1)
                first, error, last = lines(done)
                self.assertIn("error", error)
                self.assertEqual(first, last)

    def test_depth(self):
        model = self.model()
        good = "{" + ASK + "}"
        for depth in (128, 2000, 100000):
            deep = f'{{{ASK}, "id": {"[" * depth}{"]" * depth}}}'
            done = subprocess.run(["sh", "-c", 'ulimit -s 512; exec "$0" "$@"', support.PROGRAM, "run", model],
                                  input=f"{good}\n{deep}\n{good}\n".encode(), capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 1, done.stderr)
            first, error, last = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertIn("nested deeper than 128", error["error"])
            self.assertEqual((error["line"], first), (2, last))
        config = os.path.join(model, "config.json")
        with open(config) as stream:
            text = stream.read()
        self.write(config, '{"deep": ' + "[" * 50000 + "]" * 50000 + "," + text.lstrip()[1:])
        done = run("run", model, stdin=good)
        self.assertEqual(done.returncode, 1)
        self.assertIn("config.json: line 1, column 137: not valid JSON: arrays and objects are nested deeper", done.stderr)

    def test_paths_of_any_bytes(self):
        """A path that is not UTF-8 is quoted in messages that are."""
        done = run("run", os.fsdecode(b"no/\xff\xe9\x80"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no/\ufffd\ufffd:", done.stderr)


if __name__ == "__main__":
    support.main()
