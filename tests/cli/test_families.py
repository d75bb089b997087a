# SPDX-License-Identifier: Apache-2.0
"""Every family with every head it has, for which there is no reference of the original library: checkpoints of random numbers
under the names transformers gives them, against a forward pass in doubles written here from the papers, which shares nothing
with the program."""
import array
import json
import math
import os
import random

import support
from support import lines

HIDDEN, HEADS, INNER, LAYERS, WORDS, LABELS = 16, 2, 24, 4, 40, 3
IDS = [0, 9, 31, 1, 12, 12, 7, 30, 2, 1, 5, 17] + [3 + i % 30 for i in range(100)]

ROBERTA = {"prefix": "roberta.", "pad": 1, "eps": 1e-5, "types": 1, "extra": {"type_vocab_size": 1}}
FAMILIES = {
    "roberta": {**ROBERTA, "class": "Roberta"},
    "xlm-roberta": {**ROBERTA, "class": "XLMRoberta"},
    "camembert": {**ROBERTA, "class": "Camembert"},
    "mpnet": {"class": "MPNet", "prefix": "mpnet.", "pad": 1, "eps": 1e-5, "types": 0,
              "extra": {"relative_attention_num_buckets": 32}},
    "electra": {"class": "Electra", "prefix": "electra.", "eps": 1e-12, "types": 2, "width": 10, "pooler": None,
                "project": "embeddings_project", "extra": {"embedding_size": 10, "type_vocab_size": 2}},
    "albert": {"class": "Albert", "prefix": "albert.", "eps": 1e-12, "types": 2, "width": 12, "pooler": "pooler",
               "project": "encoder.embedding_hidden_mapping_in",
               "extra": {"embedding_size": 12, "type_vocab_size": 2, "num_hidden_groups": 2, "inner_group_num": 1,
                         "hidden_act": "gelu_new"}},
}
HEAD_CLASSES = {"none": "Model", "qa": "ForQuestionAnswering", "sequence": "ForSequenceClassification",
                "token": "ForTokenClassification", "mlm": "ForMaskedLM"}


def layer_names(family, layer):
    """Query, key, value, output, its LayerNorm, feed-forward in and out, its LayerNorm."""
    if family == "albert":
        base = f"encoder.albert_layer_groups.{layer * 2 // LAYERS}.albert_layers.0."
        return [base + n for n in ("attention.query", "attention.key", "attention.value", "attention.dense",
                                   "attention.LayerNorm", "ffn", "ffn_output", "full_layer_layer_norm")]
    base = f"encoder.layer.{layer}."
    attention = ["self.query", "self.key", "self.value", "output.dense", "output.LayerNorm"]
    if family == "mpnet":
        attention = ["attn.q", "attn.k", "attn.v", "attn.o", "LayerNorm"]
    return [f"{base}attention.{n}" for n in attention] + [base + n for n in
                                                          ("intermediate.dense", "output.dense", "output.LayerNorm")]


def head_names(family, head):
    """Dense layer, LayerNorm and output of a head; an output that is tied has a bias alone."""
    if head == "mlm":
        return {"electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head"),
                "albert": ("predictions.dense", "predictions.LayerNorm", "predictions"),
                }.get(family, ("lm_head.dense", "lm_head.layer_norm", "lm_head"))
    if head == "sequence" and family == "albert":
        return "albert.pooler", None, "classifier"
    return {"none": (None, None, None), "qa": (None, None, "qa_outputs"), "token": (None, None, "classifier"),
            "sequence": ("classifier.dense", None, "classifier.out_proj")}[head]


class Tensors(dict):
    """Random numbers by name, made as they are asked for."""

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)

    def add(self, name, *shape, scale=0.3, shift=0.0):
        count = math.prod(shape)
        values = array.array("f", [self.random.gauss(shift, scale) for _ in range(count)])
        self[name] = (shape, values)

    def linear(self, name, rows, columns):
        self.add(f"{name}.weight", rows, columns)
        self.add(f"{name}.bias", rows)

    def norm(self, name, width):
        self.add(f"{name}.weight", width, shift=1.0, scale=0.1)
        self.add(f"{name}.bias", width, scale=0.1)

    def rows(self, name):
        (_, columns), values = self[name]
        return [values[i:i + columns] for i in range(0, len(values), columns)]

    def write(self, path):
        header, data = {}, b""
        for name, (shape, values) in self.items():
            header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + 4 * len(values)]}
            data += values.tobytes()
        support.write_safetensors(path, header, data)


def make(family, head):
    f, t = FAMILIES[family], Tensors(f"{family} {head}")
    width, prefix = f.get("width", HIDDEN), "" if head == "none" else f["prefix"]
    t.add(f"{prefix}embeddings.word_embeddings.weight", WORDS, width)
    t.add(f"{prefix}embeddings.position_embeddings.weight", 130, width)
    if f["types"]:
        t.add(f"{prefix}embeddings.token_type_embeddings.weight", f["types"], width)
    t.norm(f"{prefix}embeddings.LayerNorm", width)
    if "project" in f:
        t.linear(prefix + f["project"], HIDDEN, width)
    if family == "mpnet":
        t.add(f"{prefix}encoder.relative_attention_bias.weight", 32, HEADS, scale=1.0)
    for layer in range(LAYERS):
        q, k, v, o, norm, inner, outer, last = [prefix + n for n in layer_names(family, layer)]
        if f"{q}.weight" in t:
            continue
        for name in (q, k, v, o):
            t.linear(name, HIDDEN, HIDDEN)
        t.linear(inner, INNER, HIDDEN)
        t.linear(outer, HIDDEN, INNER)
        t.norm(norm, HIDDEN)
        t.norm(last, HIDDEN)
    dense, norm, output = head_names(family, head)
    if dense:
        t.linear(dense, width if head == "mlm" else HIDDEN, HIDDEN)
    if norm:
        t.norm(norm, width)
    if head == "mlm":
        t.add(f"{output}.bias", WORDS)
    elif output:
        t.linear(output, 2 if head == "qa" else LABELS, HIDDEN)
    return t


def linear(t, name, x):
    weights, bias = t.rows(f"{name}.weight"), t[f"{name}.bias"][1]
    return [[sum(map(float.__mul__, row, map(float, w))) + b for w, b in zip(weights, bias)] for row in x]


def norm(t, name, eps, x):
    gain, bias, out = t[f"{name}.weight"][1], t[f"{name}.bias"][1], []
    for row in x:
        mean = sum(row) / len(row)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in row) / len(row) + eps)
        out.append([(v - mean) / deviation * g + b for v, g, b in zip(row, gain, bias)])
    return out


def add(x, y):
    return [[a + b for a, b in zip(p, q)] for p, q in zip(x, y)]


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def gelu_new(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def activate(function, x):
    return [[function(v) for v in row] for row in x]


def bucket(distance):
    """Of a key behind its query; the first distances of the wide buckets are powers of the square root of 2."""
    n = abs(distance)
    if n >= 8:
        n = min(15, max(k for k in range(8, 40) if n * n >= 64 * 2 ** (k - 8)))
    return n + (16 if distance > 0 else 0)


def attend(q, k, v, bias):
    size, out = HIDDEN // HEADS, [[0.0] * HIDDEN for _ in q]
    for h in range(HEADS):
        part = slice(h * size, (h + 1) * size)
        for i, row in enumerate(q):
            scores = [sum(map(float.__mul__, row[part], key[part])) / math.sqrt(size) for key in k]
            if bias:
                scores = [s + bias[bucket(j - i)][h] for j, s in enumerate(scores)]
            top = max(scores)
            p = [math.exp(s - top) for s in scores]
            out[i][part] = [sum(w * value[h * size + c] for w, value in zip(p, v)) / sum(p) for c in range(size)]
    return out


def encode(family, t, prefix, ids):
    f = FAMILIES[family]
    word, place = t.rows(f"{prefix}embeddings.word_embeddings.weight"), t.rows(f"{prefix}embeddings.position_embeddings.weight")
    places, real = [], 0
    for i, number in enumerate(ids):
        real += number != f.get("pad", -1)
        places.append(i if "pad" not in f else f["pad"] + (real if number != f["pad"] else 0))
    x = [[float(a + b) for a, b in zip(map(float, word[n]), map(float, place[p]))] for n, p in zip(ids, places)]
    if f["types"]:
        types = t.rows(f"{prefix}embeddings.token_type_embeddings.weight")
        x = add(x, [list(map(float, types[0]))] * len(x))
    x = norm(t, f"{prefix}embeddings.LayerNorm", f["eps"], x)
    if "project" in f:
        x = linear(t, prefix + f["project"], x)
    bias = t.rows(f"{prefix}encoder.relative_attention_bias.weight") if family == "mpnet" else None
    for layer in range(LAYERS):
        q, k, v, o, middle, inner, outer, last = [prefix + n for n in layer_names(family, layer)]
        context = attend(linear(t, q, x), linear(t, k, x), linear(t, v, x), bias)
        x = norm(t, middle, f["eps"], add(x, linear(t, o, context)))
        wide = activate(gelu_new if family == "albert" else gelu, linear(t, inner, x))
        x = norm(t, last, f["eps"], add(x, linear(t, outer, wide)))
    return x


def forward(family, head, t, ids):
    prefix = "" if head == "none" else FAMILIES[family]["prefix"]
    x = encode(family, t, prefix, ids)
    dense, layer_norm, output = head_names(family, head)
    if head == "none":
        return x
    if head == "sequence":
        x = activate(gelu if family == "electra" else math.tanh, linear(t, dense, x[:1]))
    if head == "mlm":
        x = activate(gelu_new if family == "albert" else gelu, linear(t, dense, x))
        x = norm(t, layer_norm, FAMILIES[family]["eps"], x)
        words, bias = t.rows(f"{prefix}embeddings.word_embeddings.weight"), t[f"{output}.bias"][1]
        return [[sum(map(float.__mul__, row, map(float, w))) + b for w, b in zip(words, bias)] for row in x]
    return linear(t, output, x)


def flat(value):
    return [v for part in value for v in flat(part)] if isinstance(value, list) else [value]


class Families(support.Scratch):
    def checkpoint(self, family, head):
        f, name = FAMILIES[family], f"{family}-{head}"
        config = {"model_type": family, "architectures": [f["class"] + HEAD_CLASSES[head]], "vocab_size": WORDS,
                  "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
                  "intermediate_size": INNER, "max_position_embeddings": 130, "hidden_act": "gelu",
                  "layer_norm_eps": f["eps"], "pad_token_id": f.get("pad", 0), **f["extra"]}
        if head in ("sequence", "token"):
            config["id2label"] = {str(i): f"l{i}" for i in range(LABELS)}
        self.write(f"{name}/config.json", json.dumps(config))
        tensors = make(family, head)
        tensors.write(self.path(name, "model.safetensors"))
        return self.path(name), tensors

    def raw(self, model, ids):
        answer = lines(self.ok("run", "--raw", model, stdin=json.dumps({"input_ids": ids}) + "\n"))[0]
        self.assertNotIn("error", answer)
        values = [v for v in answer.values() if isinstance(v, list)]
        return flat([list(pair) for pair in zip(*values)] if len(values) == 2 else values)  # two: of starts and of ends

    def check(self, family):
        for head in HEAD_CLASSES:
            with self.subTest(family=family, head=head):
                model, tensors = self.checkpoint(family, head)
                expected = flat(forward(family, head, tensors, IDS))
                found = self.raw(model, IDS)
                self.assertEqual(len(found), len(expected))
                self.assertLess(max(abs(a - b) for a, b in zip(found, expected)), 2e-5 * max(1, max(map(abs, expected))))
                self.ok("compile", model, "-o", f"{model}.esp")
                compiled = self.raw(f"{model}.esp", IDS)
                dot, one, other = (sum(a * b for a, b in zip(p, q)) for p, q in
                                   ((compiled, expected), (compiled, compiled), (expected, expected)))
                self.assertGreater(dot / math.sqrt(one * other), 0.995)

    def test_roberta(self):
        self.check("roberta")

    def test_xlm_roberta(self):
        self.check("xlm-roberta")

    def test_camembert(self):
        self.check("camembert")

    def test_mpnet(self):
        self.check("mpnet")

    def test_electra(self):
        self.check("electra")

    def test_albert(self):
        self.check("albert")

    def test_info_and_layers_once(self):
        model, _ = self.checkpoint("albert", "sequence")
        self.ok("compile", model, "-o", f"{model}.esp")
        for path in (model, f"{model}.esp"):
            info = json.loads(self.ok("info", "--json", path).stdout)
            self.assertEqual((info["layers"], info["shared_layers"], info["embedding_size"]), (LAYERS, 2, 12))
        self.assertEqual(len(info["linear_layers"]), 2 * 4)  # two groups
        model, _ = self.checkpoint("mpnet", "none")
        self.assertEqual(json.loads(self.ok("info", "--json", model).stdout)["distance_buckets"], 32)

    def test_electra_discriminator(self):
        """Of a ...ForPreTraining the encoder is read, whatever the head is called."""
        model, tensors = self.checkpoint("electra", "qa")
        path = os.path.join(model, "config.json")
        with open(path, encoding="utf-8") as stream:
            config = json.load(stream)
        with open(path, "w", encoding="utf-8") as stream:
            json.dump({**config, "architectures": ["ElectraForPreTraining"]}, stream)
        expected = flat(encode("electra", tensors, "electra.", IDS))
        self.assertLess(max(abs(a - b) for a, b in zip(self.raw(model, IDS), expected)), 1e-4)


if __name__ == "__main__":
    support.main()
