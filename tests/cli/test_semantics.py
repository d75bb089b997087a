# SPDX-License-Identifier: Apache-2.0
"""Answers against independent calculations: a plain encoder in Python, and the rules of the pipelines over the logits
of run --raw and the tokens of tokenize."""
import json
import math
import os
import random
import struct
import subprocess
import time
import unicodedata

import support
from support import lines

WORDS = ("ada wrote the first program for analytical engine london paris france clocks grace hopper compiler "
         "unknowable capital charles babbage lived symmetry translated 42 Über São ﬁx naïve 東京 𝔘𝔫 😀 e\u0301 "
         "x\u200dy").split()
MARKS = [" ", " ", " ", " ", ", ", ". ", "! ", "-", "  ", "\u00a0", "\t"]


def sentence(rng, low, high):
    return "".join(rng.choice(WORDS) + rng.choice(MARKS) for _ in range(rng.randint(low, high))).strip() or "ada"


def softmax(values):
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def argmax(values):
    return max(range(len(values)), key=lambda i: (values[i], -i))


def largest(values, count):
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]


def detokenize(tokens):
    text = ""
    for i, token in enumerate(tokens):
        if i and token.startswith("##"):
            text += token[2:]
        else:
            text += token if i == 0 or token in (".", "?", "!", ",") else " " + token
    return text


class Semantics(support.Scratch):
    places = 6

    def model(self, name="model", **config):
        """Random weights so large that the results of different tokens differ clearly; no bias is 0."""
        path, rng = os.path.join(super().model(name, **config), "model.safetensors"), random.Random(name)
        header, data = support.read_safetensors(path)
        values = list(struct.unpack(f"<{len(data) // 4}f", data))
        for entry in header.values():
            if "data_offsets" in entry:
                begin, end = (offset // 4 for offset in entry["data_offsets"])
                for i in range(begin, end):
                    values[i] = values[i] * 10 if len(entry["shape"]) > 1 else values[i] + rng.gauss(0, 0.2)
        support.write_safetensors(path, header, struct.pack(f"<{len(values)}f", *values))
        return os.path.dirname(path)

    def ask(self, model, items, *arguments):
        stdin = "".join(json.dumps(item) + "\n" for item in items)
        return lines(self.ok("run", model, *arguments, stdin=stdin))

    def windows(self, model, items, *arguments):
        """For each item its windows, each with the raw results of the model beside its tokens."""
        stdin = "".join(json.dumps(item) + "\n" for item in items)
        encodings = lines(self.ok("tokenize", model, *arguments, stdin=stdin))
        result = [[e] + e["overflow"] for e in encodings]
        flat = [w for windows in result for w in windows]
        raw = self.ask(model, [{"input_ids": w["ids"], "token_type_ids": w["type_ids"]} for w in flat], "--raw")
        for window, answer in zip(flat, raw):
            window.update(answer)
        return result

    def same(self, found, expected, scores, what):
        """Equal but for the named members, which are near each other."""
        self.assertEqual({k: v for k, v in found.items() if k not in scores},
                         {k: v for k, v in expected.items() if k not in scores}, what)
        for score in scores:
            self.assertAlmostEqual(found[score], expected[score], self.places, what)


class QuestionAnswering(Semantics):
    def spans(self, window, context, most, longest, align):
        """QuestionAnsweringPipeline: the best spans of a window, widened to whole words."""
        inside = [t == 1 and not s for t, s in zip(window["type_ids"], window["special_tokens_mask"])]
        taken = [i for i, within in enumerate(inside) if within or i == 0]
        starts, ends = [dict(zip(taken, softmax([window[n][i] for i in taken]))) for n in
                        ("start_logits", "end_logits")]
        null = starts.pop(0) * ends.pop(0)
        found = [(starts[s] * ends[e], s, e) for s in starts for e in ends if s <= e < s + longest]
        found.sort(key=lambda span: -span[0])
        answers = []
        for score, s, e in found[:most]:
            while align and s > 0 and inside[s - 1] and window["tokens"][s].startswith("##"):
                s -= 1
            while align and e + 1 < len(inside) and inside[e + 1] and window["tokens"][e + 1].startswith("##"):
                e += 1
            begin, end = window["offsets"][s][0], window["offsets"][e][1]
            answers.append({"score": score, "start": begin, "end": end, "answer": context[begin:end]})
        return answers, null

    def expected(self, windows, context, top_k, longest, align, impossible):
        answers, null = {}, 1e6
        for window in windows:
            spans, none = self.spans(window, context, 2 * top_k + 10 if align else top_k, longest, align)
            null = min(null, none)
            for span in spans:
                known = answers.setdefault(span["answer"].lower(), dict(span, score=0))
                known["score"] += span["score"]
        result = list(answers.values())
        if impossible:
            result.append({"score": null, "start": 0, "end": 0, "answer": ""})
        return sorted(result, key=lambda a: -a["score"])[:top_k]

    def test_answers(self):
        model, rng = self.model(), random.Random(11)
        items = [{"question": sentence(rng, 1, 5), "context": sentence(rng, 1, 90)} for _ in range(80)]
        pairs = [{"text": i["question"], "pair": i["context"]} for i in items]
        all_windows = self.windows(model, pairs, "--max-length", "64", "--stride", "20", "--truncation", "only_second",
                                   "--whole-text")
        self.assertTrue(any(len(w) > 1 for w in all_windows))
        for top_k, longest, align, impossible in ((1, 15, True, False), (5, 4, True, True), (7, 30, False, False)):
            arguments = ["--max-length", "64", "--stride", "20", "--top-k", top_k, "--max-answer-length", longest]
            arguments += ["--handle-impossible"] * impossible + ["--no-align-words"] * (not align)
            for item, windows, answers in zip(items, all_windows, self.ask(model, items, *arguments)):
                answers = answers if top_k > 1 else [answers]
                expected = self.expected(windows, item["context"], top_k, longest, align, impossible)
                self.assertEqual(len(answers), len(expected), item)
                for found, wanted in zip(answers, expected):
                    self.same(found, wanted, ["score"], (item, answers, expected))
                    self.assertEqual(found["answer"], item["context"][found["start"]:found["end"]])


class Classification(Semantics):
    def check(self, model, function, arguments):
        rng = random.Random(12)
        items = [{"text": sentence(rng, 1, 80)} for _ in range(40)]
        items += [{"text": sentence(rng, 1, 60), "pair": sentence(rng, 1, 60)} for _ in range(40)]
        names = json.loads(self.ok("info", model, "--json").stdout)["labels"]
        windows = self.windows(model, items, "--max-length", "64")
        for item, (first, *_), answers in zip(items, windows, self.ask(model, items, *arguments, "--top-k", "all")):
            scores = function(first["logits"])
            order = largest(scores, len(scores))
            answers = answers if len(scores) > 1 else [answers]
            self.assertEqual([a["label"] for a in answers], [names[i] for i in order], item)
            for answer, i in zip(answers, order):
                self.assertAlmostEqual(answer["score"], scores[i], self.places)

    def test_functions(self):
        def sigmoid(values):
            return [1 / (1 + math.exp(-v)) for v in values]
        model = self.model(head="sequence", labels="good,bad,ugly")
        self.check(model, softmax, [])
        self.check(model, sigmoid, ["--function", "sigmoid"])
        self.check(model, list, ["--function", "none"])
        self.check(self.model("d", head="sequence", labels="a,b", **DISTILBERT), softmax, [])
        self.check(self.model("m", head="sequence", labels="a,b,c", init=["--problem", "multi-label"]), sigmoid, [])
        self.check(self.model("r", head="sequence", labels="1", init=["--problem", "regression"]), list, [])


class Tagging(Semantics):
    names = "O,B-PER,I-PER,B-LOC,I-LOC,MISC".split(",")

    def tokens(self, window, text):
        for i, (token, (start, end), special) in enumerate(
                zip(window["tokens"], window["offsets"], window["special_tokens_mask"])):
            if special:
                continue
            unknown = token == "[UNK]"
            scores = softmax(window["logits"][i])
            yield {"scores": scores, "index": i, "start": start, "end": end,
                   "word": text[start:end] if unknown else token,
                   "continues": not unknown and len(token) != end - start}

    def words(self, tokens, aggregation):
        groups = []
        for token in tokens:
            if token["continues"] and groups:
                groups[-1].append(token)
            else:
                groups.append([token])
        for group in groups:
            scores = group[0]["scores"]
            if aggregation == "max":
                scores = max(group, key=lambda t: max(t["scores"]))["scores"]
            elif aggregation == "average":
                scores = [sum(column) / len(group) for column in zip(*(t["scores"] for t in group))]
            yield {"scores": scores, "start": group[0]["start"], "end": group[-1]["end"],
                   "word": detokenize([t["word"] for t in group])}

    def entities(self, window, text, aggregation):
        """TokenClassificationPipeline for one window."""
        tokens = list(self.tokens(window, text))
        if aggregation in ("first", "average", "max"):
            tokens = list(self.words(tokens, aggregation))
        for token in tokens:
            best = argmax(token["scores"])
            token["entity"], token["score"] = self.names[best], token["scores"][best]
        if aggregation == "none":
            return [{k: t[k] for k in ("entity", "score", "index", "word", "start", "end")} for t in tokens
                    if t["entity"] != "O"]
        groups = []
        for token in tokens:
            tag = token["entity"][2:] if token["entity"][:2] in ("B-", "I-") else token["entity"]
            if groups and groups[-1][0] == tag and not token["entity"].startswith("B-"):
                groups[-1][1].append(token)
            else:
                groups.append((tag, [token]))
        return [{"entity_group": tag, "score": sum(t["score"] for t in group) / len(group), "start": group[0]["start"],
                 "end": group[-1]["end"], "word": detokenize([t["word"] for t in group])}
                for tag, group in groups if tag != "O"]

    def without_overlaps(self, entities):
        kept = []
        for entity in sorted(entities, key=lambda e: e["start"]):
            if kept and entity["start"] < kept[-1]["end"]:
                def rank(e):
                    return e["end"] - e["start"], e["score"]
                if rank(entity) > rank(kept[-1]):
                    kept[-1] = entity
            else:
                kept.append(entity)
        return kept

    def test_entities(self):
        model, rng = self.model(head="token", labels=",".join(self.names)), random.Random(13)
        items = [{"text": sentence(rng, 1, 100)} for _ in range(60)]
        all_windows = self.windows(model, items, "--max-length", "40", "--stride", "10", "--whole-text")
        for aggregation in ("none", "simple", "first", "average", "max"):
            answers = self.ask(model, items, "--aggregation", aggregation, "--max-length", "40", "--stride", "10")
            for item, windows, found in zip(items, all_windows, answers):
                expected = [e for w in windows for e in self.entities(w, item["text"], aggregation)]
                if len(windows) > 1:
                    expected = self.without_overlaps(expected)
                self.assertEqual(len(found), len(expected), (aggregation, item))
                for one, other in zip(found, expected):
                    self.same(one, other, ["score"], (aggregation, item))


class FillMask(Semantics):
    def test_masks(self):
        model, rng = self.model(head="mlm"), random.Random(14)
        items = [{"text": f"{sentence(rng, 0, 8)} [MASK] {sentence(rng, 0, 8)}"} for _ in range(40)]
        items += [{"text": f"{sentence(rng, 0, 8)} [MASK] {sentence(rng, 0, 8)} [MASK]"} for _ in range(10)]
        for item, (window,), found in zip(items, self.windows(model, items), self.ask(model, items, "--top-k", "4")):
            masks = [i for i, token in enumerate(window["tokens"]) if token == "[MASK]"]
            for mask, guesses in zip(masks, [found] if len(masks) == 1 else found):
                scores = softmax(window["logits"][mask])
                order = largest(scores, 4)
                self.assertEqual([g["token"] for g in guesses], order, item)
                for guess, i in zip(guesses, order):
                    self.assertAlmostEqual(guess["score"], scores[i], self.places)
                    if len(masks) > 1 or not guess["token_str"].startswith("["):
                        self.assertIn(guess["token_str"].removeprefix("##"), guess["sequence"])


class Embedding(Semantics):
    """Pooling as sentence-transformers names it; the mean where nothing is said."""

    pools = {None: lambda rows: [sum(c) / len(rows) for c in zip(*rows)], "cls_token": lambda rows: rows[0],
             "mean_tokens": lambda rows: [sum(c) / len(rows) for c in zip(*rows)],
             "max_tokens": lambda rows: [max(c) for c in zip(*rows)]}

    def test_pooling(self):
        rng = random.Random(15)
        items = [{"text": sentence(rng, 1, 30)} for _ in range(20)]
        for kind, pool in self.pools.items():
            model = self.model(str(kind), head="none")
            kinds = ["Transformer", "Pooling", "Normalize"]
            modules = [{"idx": i, "name": str(i), "path": f"{i}_{k}" if i else "", "type":
                        f"sentence_transformers.models.{k}"} for i, k in enumerate(kinds)]
            if kind:
                self.write(f"{kind}/modules.json", json.dumps(modules))
                self.write(f"{kind}/1_Pooling/config.json", json.dumps(
                    {"word_embedding_dimension": 16, f"pooling_mode_{kind}": True}))
            for (window, *_), answer in zip(self.windows(model, items, "--max-length", "64"), self.ask(model, items)):
                vector = pool(window["hidden"])
                length = math.sqrt(sum(v * v for v in vector)) if kind else 1
                for one, other in zip(answer["embedding"], vector):
                    self.assertAlmostEqual(one, other / length, 5)


# ---- the encoder --------------------------------------------------------------------------------------------------

DISTILBERT = {"architectures": ["DistilBertForQuestionAnswering"], "model_type": "distilbert", "dim": 16, "n_layers": 2,
              "n_heads": 2, "hidden_dim": 32, "activation": "gelu"}
NAMES = {  # bert, distilbert
    "query": ("attention.self.query", "attention.q_lin"), "key": ("attention.self.key", "attention.k_lin"),
    "value": ("attention.self.value", "attention.v_lin"), "out": ("attention.output.dense", "attention.out_lin"),
    "norm1": ("attention.output.LayerNorm", "sa_layer_norm"), "in": ("intermediate.dense", "ffn.lin1"),
    "down": ("output.dense", "ffn.lin2"), "norm2": ("output.LayerNorm", "output_layer_norm"),
}


class Reference:
    """BERT or DistilBERT in double precision, a token a list of numbers."""

    def __init__(self, model, heads):
        header, data = support.read_safetensors(os.path.join(model, "model.safetensors"))
        self.tensors, self.heads = {}, heads
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                flat = struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])
                width = entry["shape"][-1]
                short = name.removeprefix("bert.").removeprefix("distilbert.")
                self.tensors[short] = [flat[i:i + width] for i in range(0, len(flat), width)]
        self.distilled = any(name.startswith("transformer.") for name in self.tensors)

    def vector(self, name):
        return self.tensors[name][0]

    def linear(self, x, name):
        bias, rows = self.vector(name + ".bias"), self.tensors[name + ".weight"]
        return [[b + sum(w * v for w, v in zip(row, token)) for row, b in zip(rows, bias)] for token in x]

    def norm(self, x, name):
        scale, shift, result = self.vector(name + ".weight"), self.vector(name + ".bias"), []
        for token in x:
            mean = sum(token) / len(token)
            spread = math.sqrt(sum((v - mean) ** 2 for v in token) / len(token) + 1e-12)
            result.append([(v - mean) / spread * s + b for v, s, b in zip(token, scale, shift)])
        return result

    def attention(self, q, k, v):
        size, result = len(q[0]) // self.heads, [[] for _ in q]
        for h in range(self.heads):
            part = slice(h * size, (h + 1) * size)
            for token, query in enumerate(q):
                p = softmax([sum(a * b for a, b in zip(query[part], key[part])) / math.sqrt(size) for key in k])
                result[token] += [sum(w * value[part][i] for w, value in zip(p, v)) for i in range(size)]
        return result

    def run(self, ids, types):
        tables = [("word", ids), ("position", range(len(ids)))] + [("token_type", types)] * (not self.distilled)
        x = [[0.0] * len(self.tensors["embeddings.word_embeddings.weight"][0]) for _ in ids]
        for name, indices in tables:
            table = self.tensors[f"embeddings.{name}_embeddings.weight"]
            x = [[a + b for a, b in zip(token, table[i])] for token, i in zip(x, indices)]
        x = self.norm(x, "embeddings.LayerNorm")
        prefix = "transformer.layer" if self.distilled else "encoder.layer"
        for layer in range(sum(f"{prefix}.{i}.{NAMES['in'][self.distilled]}.weight" in self.tensors for i in range(9))):
            name = {k: f"{prefix}.{layer}.{v[self.distilled]}" for k, v in NAMES.items()}
            q, k, v = (self.linear(x, name[n]) for n in ("query", "key", "value"))
            y = self.linear(self.attention(q, k, v), name["out"])
            x = self.norm([[a + b for a, b in zip(s, t)] for s, t in zip(x, y)], name["norm1"])
            y = [[v / 2 * (1 + math.erf(v / math.sqrt(2))) for v in token] for token in self.linear(x, name["in"])]
            y = self.linear(y, name["down"])
            x = self.norm([[a + b for a, b in zip(s, t)] for s, t in zip(x, y)], name["norm2"])
        return x


class Encoder(Semantics):
    def check(self, model, head):
        rng, reference = random.Random(16), Reference(model, 2)
        items = [{"input_ids": [rng.randrange(200) for _ in range(n)],
                  "token_type_ids": [int(i > n // 2) for i in range(n)]} for n in (1, 2, 7, 19, 64)]
        for item, answer in zip(items, self.ask(model, items, "--raw")):
            x = reference.run(item["input_ids"], item["token_type_ids"])
            for name, expected in head(reference, x).items():
                found = answer[name] if isinstance(answer[name][0], list) else [answer[name]]
                for row, wanted in zip(found, expected):
                    self.assertEqual(len(row), len(wanted))
                    for one, other in zip(row, wanted):
                        self.assertAlmostEqual(one, other, 4)

    def test_every_head(self):
        def qa(reference, x):
            logits = reference.linear(x, "qa_outputs")
            return {"start_logits": [[t[0] for t in logits]], "end_logits": [[t[1] for t in logits]]}

        def sequence(reference, x):
            if reference.distilled:
                hidden = [[max(v, 0) for v in t] for t in reference.linear(x[:1], "pre_classifier")]
            else:
                hidden = [[math.tanh(v) for v in t] for t in reference.linear(x[:1], "pooler.dense")]
            return {"logits": reference.linear(hidden, "classifier")}

        self.check(self.model("q"), qa)
        self.check(self.model("dq", **DISTILBERT), qa)
        self.check(self.model("s", head="sequence", labels="a,b,c"), sequence)
        self.check(self.model("ds", head="sequence", labels="a,b,c", **DISTILBERT), sequence)
        self.check(self.model("t", head="token", labels="a,b,c"), lambda r, x: {"logits": r.linear(x, "classifier")})
        self.check(self.model("n", head="none"), lambda r, x: {"hidden": x})


# ---- texts and files ----------------------------------------------------------------------------------------------

class Offsets(Semantics):
    def test_offsets_are_python_indices(self):
        """Each known token is what the normalizer makes of its slice of the text."""
        rng, texts = random.Random(17), []
        pool = list("aAbdeLnors .,-!()éÜñ東京😀𝔘ﬁİßא") + ["e\u0301", "\u200d", "\u00ad", "\x00", "\x07", "\t", "\u00a0",
                                                           "\ufffd", "\u202e", "\u0301"]
        for _ in range(400):
            texts.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 40))))
        stdin = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        model = self.model()
        known = 0
        for text, answer in zip(texts, lines(self.ok("tokenize", model, stdin=stdin))):
            last = 0
            for token, (start, end), special in zip(answer["tokens"], answer["offsets"],
                                                    answer["special_tokens_mask"]):
                if special:
                    self.assertEqual([start, end], [0, 0])
                    continue
                self.assertTrue(last <= start < end <= len(text), (text, answer))
                last = end
                if token != "[UNK]":
                    known += 1
                    plain = unicodedata.normalize("NFD", text[start:end].lower())
                    plain = "".join(c for c in plain if c != "\ufffd" and unicodedata.category(c) not in
                                    ("Mn", "Cc", "Cf"))
                    self.assertEqual(plain, token.removeprefix("##"), (text, answer))
        self.assertGreater(known, 1000)


class Saved(Semantics):
    """The figures of a saved prediction file are those of the model that made it."""

    def figures(self, *arguments):
        report = json.loads(self.ok("eval", "--json", "--quiet", *arguments).stdout)
        return {k: v for k, v in report.items() if k not in ("task", "failed", "seconds", "examples_per_s")}

    def check(self, model, data, task=None):
        saved = self.path("saved")
        figures = self.figures(model, "--data", data, "--save", saved)
        self.assertGreater(figures["examples"], 10)
        self.assertEqual(self.figures(model, "--data", data, "--predictions", saved), figures)
        self.assertEqual(self.figures(model, "--data", data, "--batch-tokens", "1", "--threads", "3"), figures)
        if task:
            self.assertEqual(self.figures("--task", task, "--data", data, "--predictions", saved), figures)
        os.unlink(saved)

    def table(self, name, rows):
        return self.write(name, "".join("\t".join(map(str, row)) + "\n" for row in rows))

    def test_classification(self):
        rng = random.Random(18)
        rows = [(sentence(rng, 1, 9).replace("\t", " "), rng.randrange(2)) for _ in range(40)]
        model = self.model(head="sequence", labels="no,yes")
        self.check(model, self.table("numbers.tsv", rows))
        self.check(model, self.table("names.tsv", [(text, ["no", "yes"][label]) for text, label in rows]), "classify")
        self.ok("eval", model, "--data", self.path("numbers.tsv"), "--save", self.path("p"))
        done = self.ok("eval", "--task", "classify", "--data", self.path("numbers.tsv"), "--predictions",
                       self.path("p"))
        self.assertIn("no predicted label is a label of the data set", done.stderr)

    def test_several_labels_and_numbers(self):
        rng = random.Random(19)
        texts = [sentence(rng, 1, 9).replace("\t", " ") for _ in range(40)]
        several = self.model("several", head="sequence", labels="a,b,c", init=["--problem", "multi-label"])
        rows = [(text, ",".join(rng.sample(["0", "b", "LABEL_2"], rng.randrange(4)))) for text in texts]
        self.check(several, self.table("several.tsv", [("text", "labels")] + rows))
        number = self.model("number", head="sequence", labels="1", init=["--problem", "regression"])
        rows = [(text, rng.choice(["1.5", "2", "3.25"])) for text in texts]
        self.check(number, self.table("number.tsv", rows), "classify")
        pairs = [(text, sentence(rng, 1, 9).replace("\t", " "), rng.uniform(0, 5)) for text in texts]
        self.check(self.model("bare", head="none"), self.table("pairs.tsv", pairs), "embed")

    def test_tags(self):
        rng = random.Random(20)
        rows = [[] if rng.random() < 0.1 else ["Ada" if rng.random() < 0.3 else "\u200b" if rng.random() < 0.1 else
                                              rng.choice(WORDS), rng.choice(Tagging.names)] for _ in range(600)]
        self.check(self.model(head="token", labels=",".join(Tagging.names)), self.table("t.conll", rows), "tag")

    def test_questions(self):
        rng, questions = random.Random(21), []
        for i in range(40):
            context = sentence(rng, 3, 60)
            at = rng.randrange(len(context) - 2)
            answers = [] if i % 5 == 0 else [{"text": context[at:at + 2], "answer_start": at}]
            question = "word " * 70 if i == 7 else sentence(rng, 1, 6)
            questions.append((context, {"id": f"q{i}", "question": question, "answers": answers}))

        def squad(name, change):
            paragraphs = [{"context": c, "qas": [change(dict(q))]} for c, q in questions]
            return self.write(name, json.dumps({"version": "1", "data": [{"title": "t", "paragraphs": paragraphs}]}))
        model = self.model()
        self.check(model, squad("v1.json", lambda q: q), "qa")
        self.check(model, squad("v2.json", lambda q: dict(q, is_impossible=not q["answers"])), "qa")


class Files(Semantics):
    def test_byte_order_marks(self):
        mark = b"\xef\xbb\xbf"
        model = self.model(head="token", labels="O,B-PER")
        plain = self.write("plain.conll", "Ada B-PER\nwrote O\n")
        marked = self.write("marked.conll", mark + b"Ada B-PER\nwrote O\n")
        figures = [json.loads(self.ok("eval", model, "--data", path, "--json").stdout) for path in (plain, marked)]
        self.assertEqual(figures[0]["accuracy"], figures[1]["accuracy"])
        answers = self.ok("run", model, stdin=mark + b'{"text":"Ada wrote"}\n').stdout
        self.assertEqual(answers, self.ok("run", model, stdin=b'{"text":"Ada wrote"}\r\n').stdout)
        squad = {"data": [{"paragraphs": [{"context": "Ada wrote.", "qas": [
            {"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}]}]}]}
        path = self.write("squad.json", mark + json.dumps(squad).encode())
        self.ok("eval", self.model("qa"), "--data", path, "--quiet")

    def test_an_interrupted_command_leaves_nothing(self):
        for signal in (2, 15):
            process = subprocess.Popen(
                [support.PROGRAM, "init", "distilbert-base", "--random-vocab", "-o", self.path("o")],
                env={**os.environ, "TMPDIR": self.dir}, stderr=subprocess.PIPE)
            while not os.listdir(self.dir) and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal)
            errors = process.communicate(timeout=120)[1].decode()
            self.assertEqual((process.returncode, os.listdir(self.dir)), (1, []), errors)
            self.assertIn("interrupted; nothing was written", errors)

    def test_a_line_that_stops_a_strict_run_is_a_failure_not_wrong_usage(self):
        done = support.run("run", self.model(), "--strict", "--max-length", "5",
                           stdin='{"question":"Ada wrote programs","context":"Paris"}\n')
        self.assertEqual(done.returncode, 1)
        self.assertIn("run: line 1: the question has", done.stderr)

    def test_no_temporary_directory(self):
        done = support.run("init", "bert-mini", "--random-vocab", "-o", self.path("o"),
                           env={"TMPDIR": self.path("none")})
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"TMPDIR: {self.path('none')}/espalier-vocab: cannot create: No such file", done.stderr)

    def test_nothing_usable_is_a_failure(self):
        model = self.model(head="none")
        done = support.run("eval", model, "--data", self.write("x.tsv", "sentence\tscore\nAda\t1\n"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("x.tsv: none of the 1 examples could be used", done.stderr)


if __name__ == "__main__":
    support.main()
