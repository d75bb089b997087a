# SPDX-License-Identifier: Apache-2.0
"""Bad inputs, one row each: what is done to a good checkpoint (or file), the command, its exit code, its message."""
import json
import os
import shutil
import struct
import subprocess
import sys

import support
from support import read_safetensors, run, write_safetensors

LINE = '{"question": "Who wrote it?", "context": "Ada wrote it."}\n'


# ---- ways to spoil a checkpoint -------------------------------------------------------------------------------------

def config(**changes):
    """Sets members of config.json; None removes one."""
    def change(model):
        path = os.path.join(model, "config.json")
        with open(path) as stream:
            value = json.load(stream)
        for key, new in changes.items():
            if new is None:
                value.pop(key, None)
            else:
                value[key] = new
        with open(path, "w") as stream:
            json.dump(value, stream)
    return change


def content(name, data):
    def change(model):
        with open(os.path.join(model, name), "wb") as stream:
            stream.write(data)
    return change


def remove(*names):
    def change(model):
        for name in names:
            os.remove(os.path.join(model, name))
    return change


def directory(name):
    def change(model):
        os.remove(os.path.join(model, name))
        os.mkdir(os.path.join(model, name))
    return change


def header(edit):
    """Edits the header of model.safetensors; `edit` gets the dict and may return other header bytes."""
    def change(model):
        path = os.path.join(model, "model.safetensors")
        value, data = read_safetensors(path)
        changed = edit(value)
        write_safetensors(path, value if changed is None else changed, data)
    return change


def tensor(name, **fields):
    """Sets fields of the entry of the tensor whose name ends so."""
    def edit(value):
        key = next(k for k in value if k.endswith(name))
        value[key].update(fields)
    return header(edit)


def cut(count):
    def change(model):
        path = os.path.join(model, "model.safetensors")
        os.truncate(path, os.path.getsize(path) - count if count > 0 else -count)
    return change


def weight(bits):
    """Puts 32 bits in place of the first weight of the last tensor."""
    def change(model):
        path = os.path.join(model, "model.safetensors")
        value, data = read_safetensors(path)
        begin = max(entry["data_offsets"][0] for key, entry in value.items() if key != "__metadata__")
        write_safetensors(path, value, data[:begin] + struct.pack("<I", bits) + data[begin + 4:])
    return change


def drop_tensor(name):
    def edit(value):
        entry = value.pop(next(k for k in value if k.endswith(name)))
        value["unrelated.tensor"] = entry  # the bytes stay covered
    return header(edit)


def same_bytes(value):
    names = [k for k in value if k != "__metadata__"]
    value[names[1]]["data_offsets"] = value[names[0]]["data_offsets"]


def duplicate_key(value):
    text = json.dumps(value)
    name = next(k for k in value if k != "__metadata__")
    return (text[:-1] + "," + json.dumps(name) + ":" + json.dumps(value[name]) + "}").encode()


def index(weight_map):
    def change(model):
        os.rename(os.path.join(model, "model.safetensors"), os.path.join(model, "shard.safetensors"))
        names, _ = read_safetensors(os.path.join(model, "shard.safetensors"))
        content("model.safetensors.index.json",
                json.dumps({"weight_map": weight_map([n for n in names if n != "__metadata__"])}).encode())(model)
    return change


def vocabulary(edit):
    def change(model):
        for name in ("tokenizer.json", "vocab.txt"):
            path = os.path.join(model, name)
            if name == "tokenizer.json" and os.path.exists(path):
                os.remove(path)
        path = os.path.join(model, "vocab.txt")
        with open(path) as stream:
            words = stream.read().split("\n")
        with open(path, "w") as stream:
            stream.write("\n".join(edit(words)))
    return change


def tokenizer(edit):
    def change(model):
        path = os.path.join(model, "tokenizer.json")
        with open(path) as stream:
            value = json.load(stream)
        edit(value)
        with open(path, "w") as stream:
            json.dump(value, stream)
    return change


def set_at(value, path, new):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


# ---- rows: (what, change of the model, message) -----------------------------------------------------------------------
# All of them are run as `espalier run MODEL` and must fail with exit code 1.

MODEL_ROWS = [
    ("config missing", remove("config.json"), "config.json"),
    ("config empty", content("config.json", b""), "config.json"),
    ("config not JSON", content("config.json", b"{nonsense"), "not valid JSON"),
    ("config a list", content("config.json", b"[]"), "expected an object"),
    ("config not UTF-8", content("config.json", b'{"model_type": "\xff\xfe"}'), "not valid JSON"),
    ("config a directory", directory("config.json"), "found a directory"),
    ("config duplicate key", content("config.json", b'{"model_type":"bert","model_type":"bert"}'), "duplicate"),
    ("model type missing", config(model_type=None, architectures=None), "model_type"),
    ("model type unknown", config(model_type="gpt2"), "gpt2"),
    ("head unknown", config(architectures=["BertForNextSentencePrediction"]), "BertForNextSentencePrediction"),
    ("hidden size zero", config(hidden_size=0), "hidden_size"),
    ("hidden size negative", config(hidden_size=-16), "hidden_size: expected an integer"),
    ("hidden size a string", config(hidden_size="16"), "hidden_size: expected an integer"),
    ("hidden size fractional", config(hidden_size=16.5), "hidden_size: expected an integer"),
    ("hidden size enormous", config(hidden_size=2**62), "hidden_size"),
    ("hidden size beyond 64 bits", content("config.json", b'{"model_type":"bert","vocab_size":9,"hidden_size":99999999999999999999}'),
     "config.json: hidden_size: expected an integer from 1 to 65536, found 1e+20"),
    ("heads do not divide", config(num_attention_heads=3), "num_attention_heads"),
    ("heads zero", config(num_attention_heads=0), "num_attention_heads"),
    ("layers missing", config(num_hidden_layers=None), "num_hidden_layers"),
    ("layers more than stored", config(num_hidden_layers=3), "missing"),
    ("vocabulary size wrong", config(vocab_size=201), "expected"),
    ("eps zero or negative", config(layer_norm_eps=-1.0), "layer_norm_eps"),
    ("eps NaN", content("config.json", b'{"model_type":"bert","layer_norm_eps":NaN}'), "not valid JSON"),
    ("activation unknown", config(hidden_act="swiglu"), "swiglu"),
    ("relative positions", config(position_embedding_type="relative_key"), "relative_key"),
    ("decoder", config(is_decoder=True), "is_decoder"),
    ("weights missing", remove("model.safetensors"), "model.safetensors"),
    ("weights empty", content("model.safetensors", b""), "model.safetensors"),
    ("weights a directory", directory("model.safetensors"), "found a directory"),
    ("weights shorter than a header", content("model.safetensors", b"\x10\0\0"), "model.safetensors"),
    ("weights header length enormous", content("model.safetensors", b"\xff" * 8 + b"{}"), "model.safetensors"),
    ("weights header beyond the file", content("model.safetensors", struct.pack("<Q", 1000) + b"{}"),
     "model.safetensors"),
    ("weights header not JSON", header(lambda value: b"{not json"), "not valid JSON"),
    ("weights header a list", header(lambda value: b"[]"), "expected a header that starts with '{'"),
    ("weights truncated by a byte", cut(1), "model.safetensors"),
    ("weights truncated in the header", cut(-40), "model.safetensors"),
    ("dtype unknown", tensor("word_embeddings.weight", dtype="Q7"), "Q7"),
    ("dtype of integers", tensor("word_embeddings.weight", dtype="I32"), "I32"),
    ("dtype a number", tensor("word_embeddings.weight", dtype=3), "dtype"),
    ("dtype of half the size", tensor("word_embeddings.weight", dtype="F16"), "word_embeddings.weight"),
    ("shape negative", tensor("word_embeddings.weight", shape=[-200, 16]), "shape"),
    ("shape NaN", header(lambda value: b'{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}'), "not valid JSON"),
    ("shape overflows", tensor("word_embeddings.weight", shape=[2**62, 2**62]), "shape"),
    ("shape transposed", tensor("word_embeddings.weight", shape=[16, 200]), "word_embeddings.weight"),
    ("shape not a list", tensor("word_embeddings.weight", shape="200x16"), "shape"),
    ("offsets reversed", tensor("word_embeddings.weight", data_offsets=[12800, 0]), "data_offsets"),
    ("offsets negative", tensor("word_embeddings.weight", data_offsets=[-4, 12796]), "data_offsets"),
    ("offsets beyond the file", tensor("word_embeddings.weight", data_offsets=[0, 2**50]), "data_offsets"),
    ("offsets of three numbers", tensor("word_embeddings.weight", data_offsets=[0, 1, 2]), "data_offsets"),
    ("tensors overlap", header(same_bytes), "model.safetensors"),
    ("tensor twice in the header", header(duplicate_key), "duplicate"),
    ("tensor missing", drop_tensor("layer.1.output.dense.weight"), "layer.1.output.dense.weight"),
    ("weight NaN", weight(0x7fc00000), "infinite or not a number"),
    ("weight infinite", weight(0x7f800000), "infinite or not a number"),
    ("index escapes the directory", index(lambda names: {n: "../shard.safetensors" for n in names}), "../shard"),
    ("index names no file", index(lambda names: {n: "other.safetensors" for n in names}), "other.safetensors"),
    ("index names a missing tensor", index(lambda names: {**{n: "shard.safetensors" for n in names}, "ghost":
                                                          "shard.safetensors"}), "ghost"),
    ("index without a map", lambda model: (remove("model.safetensors")(model),
                                           content("model.safetensors.index.json", b"{}")(model)), "weight_map"),
    ("vocabulary and tokenizer missing", remove("tokenizer.json", "vocab.txt"), "vocab.txt"),
    ("tokenizer empty", content("tokenizer.json", b""), "tokenizer.json"),
    ("tokenizer of another model", tokenizer(lambda v: set_at(v, ["model", "type"], "BPE")), "BPE"),
    ("tokenizer normalizer unknown", tokenizer(lambda v: set_at(v, ["normalizer", "type"], "NFX")), "NFX"),
    ("tokenizer id twice", tokenizer(lambda v: v["model"]["vocab"].update(doubled=7)), "7"),
    ("tokenizer id negative", tokenizer(lambda v: v["model"]["vocab"].update(below=-1)), "below"),
    ("vocabulary not UTF-8", lambda model: (remove("tokenizer.json")(model),
                                            content("vocab.txt", b"[UNK]\nfa\xe7ade\n")(model)), "vocab.txt: line 2"),
    ("vocabulary without [CLS]", vocabulary(lambda words: [w for w in words if w != "[CLS]"]), "[CLS]"),
    ("vocabulary without [UNK]", vocabulary(lambda words: [w for w in words if w != "[UNK]"]), "[UNK]"),
    ("vocabulary empty", vocabulary(lambda words: []), "vocab.txt"),
]

# ---- rows: (what, arguments, exit code, message); {m} a good model, {d} the scratch directory -----------------------

COMMAND_ROWS = [
    ("no command", [], 2, "Usage"),
    ("unknown command", ["walk"], 2, "walk"),
    ("unknown option", ["run", "{m}", "--fast"], 2, "fast"),
    ("no model", ["run"], 2, "MODEL"),
    ("two models", ["run", "{m}", "{m}"], 2, "expected one MODEL"),
    ("model not there", ["run", "{d}/none"], 1, "none"),
    ("model a file", ["run", "{d}/text.txt"], 1, "expected a checkpoint directory"),
    ("model an empty directory", ["run", "{d}/empty"], 1, "config.json"),
    ("an empty name", ["run", ""], 1, '"": expected a checkpoint directory'),
    ("model of another command not there", ["compile", "{d}/none", "-o", "{d}/o"], 1,
     "none: expected a checkpoint directory: No such file"),
    ("an empty file for a checkpoint", ["info", "{d}/empty.json"], 1,
     "empty.json: expected a checkpoint directory (config.json, model.safetensors), found another file"),
    ("a FIFO for a model", ["run", "{d}/fifo"], 1, "fifo: expected a regular file, found a device, pipe or socket"),
    ("a FIFO for a checkpoint", ["prune", "{d}/fifo", "--sparsity", "0.5", "-o", "{d}/o"], 1,
     "fifo: expected a regular file, found a device, pipe or socket"),
    ("compile a compiled file", ["compile", "{d}/m.esp", "-o", "{d}/o"], 1, "found a compiled file"),
    ("prune a compiled file", ["prune", "{d}/m.esp", "--sparsity", "0.5", "-o", "{d}/o"], 1, "found a compiled file"),
    ("train a compiled file", ["train", "{d}/m.esp", "--task", "qa", "--train", "{d}/x", "-o", "{d}/o"], 1,
     "found a compiled file"),
    ("compile without a name", ["compile", "{m}", "-o", ""], 2, "expected a file name, found an empty one"),
    ("compile over weights", ["compile", "{m}", "-o", "{m}/model.safetensors"], 2,
     "expected a new file, or a compiled one to replace"),
    ("compile into no directory", ["compile", "{m}", "-o", "{d}/none/m.esp"], 1, "m.esp: cannot create"),
    ("compile with samples of nothing", ["compile", "{m}", "-o", "{d}/o", "--samples", "9"], 2, "need --calibrate"),
    ("compile with a limit of nothing", ["compile", "{m}", "-o", "{d}/o", "--time-limit", "9"], 2, "need --max-drop"),
    ("prune beyond the most of a layer", ["prune", "{m}", "--sparsity", "0.8", "--layer-max", "0.5", "-o", "{d}/o"], 2,
     "--layer-max: expected at least the sparsity 0.8 of all, found 0.5"),
    ("run with options of data sets", ["run", "{m}", "--format", "tsv"], 2, "unrecognized option '--format'"),
    ("bench of no kernel", ["bench", "--kernels", "--only", "nonsense"], 2, "no kernel version of this CPU"),
    ("unknown task", ["run", "{m}", "--task", "sing"], 2, "expected qa, classify, tag, embed or mlm"),
    ("task the head cannot do", ["run", "{m}", "--task", "classify"], 1, "classify"),
    ("threads zero", ["run", "{m}", "--threads", "0"], 2, "--threads: expected a whole number from 1"),
    ("threads a word", ["run", "{m}", "--threads", "all"], 2, "--threads"),
    ("batch tokens negative", ["run", "{m}", "--batch-tokens", "-5"], 2, "--batch-tokens"),
    ("stride not below the length", ["run", "{m}", "--max-length", "32", "--stride", "32"], 2, "stride"),
    ("run longer than the model", ["run", "{m}", "--max-length", "65"], 2,
     "--max-length: expected at most the model's 64 positions, found 65"),
    ("eval longer than the model", ["eval", "{m}", "--data", "{d}/nodata.json", "--max-length", "512"], 2,
     "the model's 64 positions, found 512"),
    ("compile longer than the model", ["compile", "{m}", "-o", "{d}/o", "--calibrate", "{d}/x", "--max-length", "512"], 2,
     "the model's 64 positions, found 512"),
    ("prune longer than the model", ["prune", "{m}", "-o", "{d}/o", "--sparsity", "0.5", "--score", "obert", "--calibrate",
                                     "{d}/x", "--max-length", "512"], 2, "the model's 64 positions, found 512"),
    ("aggregation unknown", ["run", "{m}", "--aggregation", "mode"], 2, "expected none, simple, first, average or max, found"),
    ("input not there", ["run", "{m}", "--input", "{d}/none.jsonl"], 1, "none.jsonl"),
    ("input a directory", ["run", "{m}", "--input", "{d}/empty"], 1, "found a directory"),
    ("predictions over the data", ["eval", "{m}", "--data", "{d}/empty.json", "--save", "{d}/../{b}/empty.json"], 2,
     "--save: expected another file than "),
    ("eval without data", ["eval", "{m}"], 2, "--data"),
    ("eval data not there", ["eval", "{m}", "--data", "{d}/none.json"], 1, "none.json"),
    ("eval data empty", ["eval", "{m}", "--data", "{d}/empty.json"], 1, "empty.json"),
    ("eval data of another shape", ["eval", "{m}", "--data", "{d}/list.json"], 1, "list.json: expected examples, found none"),
    ("eval data without questions", ["eval", "{m}", "--data", "{d}/nodata.json"], 1,
     "expected SQuAD JSON, or JSON (an array, or an object a line)"),
    ("eval data a directory", ["eval", "{m}", "--data", "{d}/empty"], 1, "found a directory"),
    ("predictions without task", ["eval", "--data", "{d}/x", "--predictions", "{d}/y"], 2, "--task"),
    ("predictions with a limit", ["eval", "--task", "qa", "--data", "{d}/x", "--predictions", "{d}/y", "--limit", "2"], 2,
     "--predictions"),
    ("predictions with a model that is not there", ["eval", "{d}/x", "--data", "{d}/x", "--predictions", "{d}/y"], 1,
     "x: expected a checkpoint directory: No such file"),
    ("tokenize a stride alone", ["tokenize", "{m}", "--stride", "4"], 2, "--max-length"),
    ("tokenize unknown truncation", ["tokenize", "{m}", "--max-length", "8", "--truncation", "middle"], 2, "middle"),
    ("init unknown config", ["init", "distilbert-huge", "--random-vocab", "-o", "{d}/o"], 1, "distilbert-huge"),
    ("init unknown head", ["init", "bert-tiny", "--head", "tail", "--random-vocab", "-o", "{d}/o"], 2, "tail"),
    ("init without vocabulary", ["init", "bert-tiny", "-o", "{d}/o"], 2, "--random-vocab"),
    ("init without output", ["init", "bert-tiny", "--random-vocab"], 2, "--output"),
    ("init a label twice", ["init", "bert-tiny", "--head", "token", "--labels", "a,b,a", "--random-vocab", "-o", "{d}/o"], 2,
     '--labels: expected another name for each, found "a" as name 3'),
    ("init an empty label", ["init", "bert-tiny", "--head", "token", "--labels", "a,", "--random-vocab", "-o", "{d}/o"], 2,
     'found "" as name 2'),
    ("init labels of answers", ["init", "bert-tiny", "--head", "qa", "--labels", "a,b", "--random-vocab", "-o", "{d}/o"], 2,
     "--labels goes with --head sequence or token"),
    ("init a problem of tags", ["init", "bert-tiny", "--head", "token", "--problem", "regression", "--random-vocab", "-o",
                                "{d}/o"], 2, "--problem goes with --head sequence"),
    ("init into a directory by a dot", ["init", "bert-tiny", "--random-vocab", "-o", "{d}/o/."], 2,
     "--output: expected a path that ends in the name of a directory"),
    ("init into the directory above", ["init", "bert-tiny", "--random-vocab", "-o", "..//"], 2, "--output: expected"),
    ("init into nothing", ["init", "bert-tiny", "--random-vocab", "-o", ""], 2, "--output: expected"),
    ("prune into a dot", ["prune", "{m}", "--sparsity", "0.5", "-o", "."], 2, "--output: expected"),
    ("train into a dot", ["train", "{m}", "--task", "qa", "--train", "{d}/x", "-o", "{d}/."], 2, "--output: expected"),
    ("vocab into a dot", ["vocab", "{d}/x", "-o", "{d}/."], 2, "--output: expected"),
    ("demo into a dot", ["demo", "-o", "{d}/."], 2, "--output: expected"),
    ("init into a full directory", ["init", "bert-tiny", "--random-vocab", "-o", "{m}"], 2, "new or empty directory"),
    ("vocab of an unknown model", ["vocab", "{d}/text.txt", "--model", "x", "-o", "{d}/o"], 2, "--model: expected wordpiece"),
    ("vocab without text", ["vocab", "--size", "100", "-o", "{d}/o"], 2, "text"),
    ("vocab size too small", ["vocab", "{d}/text.txt", "--size", "3", "-o", "{d}/o"], 2, "--size"),
    ("vocab into a full directory, before the text is read", ["vocab", "{d}/none.txt", "--size", "100", "-o", "{m}"], 2,
     "new or empty directory"),
    ("vocab of a missing file", ["vocab", "{d}/none.txt", "--size", "100", "-o", "{d}/o"], 1, "none.txt"),
    ("vocab of nothing", ["vocab", "{d}/empty.json", "--size", "100", "-o", "{d}/o"], 1, "text"),
]

# ---- rows: (what, a line of input, message), answered in place while the lines around it are answered too -----------

LINE_ROWS = [
    ("not JSON", "{nonsense", "not valid JSON"),
    ("a number", "17", "expected an object"),
    ("question missing", '{"context": "Ada wrote it."}', "question: expected a string"),
    ("context a number", '{"question": "Who?", "context": 3}', "context: expected a string, found 3"),
    ("context empty", '{"question": "Who?", "context": ""}', "context"),
    ("not UTF-8", b'{"question": "\xff", "context": "b"}', "not valid JSON"),
    ("key twice", '{"question": "a", "question": "b", "context": "c"}', "duplicate"),
    ("lone surrogate", '{"question": "\\ud800", "context": "c"}', "not valid JSON"),
]


class BadInputs(support.Scratch):
    def setUp(self):
        super().setUp()
        self.good = self.model()
        os.mkdir(self.path("empty"))
        self.write("empty.json", "")
        os.mkfifo(self.path("fifo"))
        self.write("list.json", "[]")
        self.write("nodata.json", "{}")
        self.ok("compile", self.good, "-o", self.path("m.esp"))

    def expect(self, done, code, message, what):
        self.assertEqual(done.returncode, code, f"{what}: exit code; stderr: {done.stderr}")
        self.assertIn(message, done.stderr, what)
        self.assertRegex(done.stderr, r"(?m)^(espalier|Usage)", what)

    def test_models(self):
        for what, change, message in MODEL_ROWS:
            with self.subTest(what):
                spoilt = self.path("spoilt")
                shutil.rmtree(spoilt, ignore_errors=True)
                shutil.copytree(self.good, spoilt)
                change(spoilt)
                self.expect(run("run", spoilt, stdin=LINE), 1, message, what)

    def test_commands(self):
        before = sorted(os.listdir(self.dir))
        for what, arguments, code, message in COMMAND_ROWS:
            with self.subTest(what):
                filled = [a.format(m=self.good, d=self.dir, b=os.path.basename(self.dir)) for a in arguments]
                self.expect(run(*filled, stdin=LINE), code, message, what)
        self.assertEqual(sorted(os.listdir(self.dir)), before, "nothing half-written is left")

    def test_lines(self):
        for what, line, message in LINE_ROWS:
            with self.subTest(what):
                line = line if isinstance(line, bytes) else line.encode()
                done = run("run", self.good, stdin=LINE.encode() + line + b"\n" + LINE.encode())
                self.assertEqual(done.returncode, 1, done.stderr)
                answers = support.lines(done)
                self.assertEqual(len(answers), 3, what)
                self.assertEqual(answers[1]["line"], 2, what)
                self.assertIn(message, answers[1]["error"], what)
                self.assertEqual(answers[0], answers[2], what)
                self.assertIn("answer", answers[0], what)
                strict = run("run", self.good, "--strict", stdin=LINE.encode() + line + b"\n" + LINE.encode())
                self.assertEqual(strict.returncode, 1)
                self.assertEqual(len(strict.stdout.splitlines()), 1, "strict stops at the line")
                self.assertIn(message, strict.stderr)

    def test_pair_for_a_task_of_one_text(self):
        """A second text is never dropped."""
        for task, head in (("embed", "qa"), ("tag", "token"), ("mlm", "mlm")):
            labels = {"labels": "O,B-X"} if head == "token" else {}
            model = self.good if head == "qa" else self.model(task, head=head, **labels)
            for member in ("pair", "text_pair"):
                with self.subTest(task=task, member=member):
                    text = json.dumps({"text": "Ada [MASK] it."})
                    both = json.dumps({"text": "Ada [MASK] it.", member: "Babbage did."})
                    done = run("run", model, "-t", task, stdin=f"{text}\n{both}\n{text}\n")
                    self.assertEqual(done.returncode, 1, done.stderr)
                    answers = support.lines(done)
                    self.assertEqual(answers[1], {"line": 2, "error": f"line 2: pair: expected none for the task {task}, "
                                                                      "which takes one text"})
                    self.assertEqual(answers[0], answers[2])
                    self.assertNotIn("error", answers[0])

    def test_raw_lines(self):
        rows = [("{}", "input_ids: expected an array, found nothing"), ('{"input_ids": []}', "expected 1 to 64 ids"),
                ('{"input_ids": [1, 200]}', "input_ids[1]: expected an integer from 0 to 199"),
                ('{"input_ids": [-1]}', "input_ids[0]"), ('{"input_ids": [1.5]}', "input_ids[0]"),
                ('{"input_ids": ' + json.dumps([1] * 65) + "}", "found 65"),
                ('{"input_ids": [1], "token_type_ids": [0, 0]}', "token_type_ids: expected 1 values"),
                ('{"input_ids": [1], "token_type_ids": [2]}', "token_type_ids[0]"),
                ('{"input_ids": [1, 0], "attention_mask": [1, 0]}', "attention_mask[1]: expected 1: padding"),
                ('{"input_ids": [1, 0], "attention_mask": [1]}', "attention_mask: expected 2 values")]
        good = '{"input_ids": [2, 9, 3], "attention_mask": [1, 1, 1]}\n'
        for line, message in rows:
            with self.subTest(line):
                answers = support.lines(run("run", self.good, "--raw", stdin=good + line + "\n" + good))
                self.assertEqual(len(answers), 3)
                self.assertIn(message, answers[1]["error"])
                self.assertEqual(answers[0], answers[2])
                self.assertEqual(len(answers[0]["start_logits"]), 3)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([support.PROGRAM, "run", self.good], input=LINE.encode(), stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)

    def test_closed_streams(self):
        """No file of the program's gets the number of a standard stream, and what cannot be printed is a failure."""
        compiled = self.path("closed.esp")
        done = subprocess.run(["bash", "-c", f"'{support.PROGRAM}' compile '{self.good}' -o '{compiled}' >&- 2>&- <&-"],
                              timeout=60)
        self.assertEqual(done.returncode, 1)
        with open(compiled, "rb") as mine, open(self.path("m.esp"), "rb") as other:
            self.assertEqual(mine.read(), other.read())
        done = subprocess.run(["bash", "-c", f"'{support.PROGRAM}' run '{self.good}' <&-"], capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"stdin", done.stderr)

    def test_write_that_does_not_fit(self):
        """A limit on the file size stands for a disk that fills up in the middle of model.safetensors."""
        before = sorted(os.listdir(self.dir))
        done = subprocess.run(["bash", "-c", f"trap '' XFSZ; ulimit -f 100; exec '{support.PROGRAM}' init bert-tiny "
                               f"--random-vocab -o '{self.path('big')}'"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"cannot write", done.stderr)
        self.assertEqual(sorted(os.listdir(self.dir)), before, "nothing half-written is left")

    def test_unreadable(self):
        for directory, _, files in os.walk(self.dir):
            os.chmod(directory, 0o755)
            for name in files:
                os.chmod(os.path.join(directory, name), 0o644)
        as_nobody = (lambda: os.setuid(65534)) if os.geteuid() == 0 else None  # root reads every file
        compiled, away = self.write("unreadable.esp", "secret"), self.path("away", "m.esp")
        self.write("away/m.esp", "secret")
        for path, mode in ((os.path.join(self.good, "model.safetensors"), 0), (compiled, 0), (self.path("away"), 0o600)):
            os.chmod(path, mode)
        self.addCleanup(os.chmod, self.path("away"), 0o755)
        os.mkdir(self.path("open"))
        os.chmod(self.path("open"), 0o777)
        output = ["-o", self.path("open", "o")]
        rows = [(["info", self.good], "model.safetensors: Permission denied")]
        rows += [([command, path, *more], f"{os.path.basename(path)}: Permission denied") for path in (compiled, away)
                 for command, *more in (["info"], ["run"], ["tokenize"], ["bench"], ["eval", "--data", "none"],
                                        ["compile", *output], ["prune", "--sparsity", "0.5", *output])]
        for arguments, message in rows:
            with self.subTest(arguments=arguments):
                try:
                    done = subprocess.run([support.PROGRAM, *arguments], capture_output=True, timeout=60, input=b"",
                                          preexec_fn=as_nobody)
                except PermissionError:
                    self.skipTest("the program is out of reach for another user")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(message, done.stderr.decode())
                self.assertNotIn("another file", done.stderr.decode())

    def test_there_are_enough_rows(self):
        self.assertGreaterEqual(len(MODEL_ROWS) + len(COMMAND_ROWS) + len(LINE_ROWS), 100)


if __name__ == "__main__":
    support.main()
