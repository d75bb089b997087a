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


class Labels(support.Scratch):
    """What becomes of the outputs of a sequence head, against transformers and sentence-transformers."""
    LOGIT = -0.205945671
    SIGMOID = 0.448695

    def check(self, model, label, score):
        """The same answer from the checkpoint and from its compiled file."""
        for path in (model, self.compiled(model)):
            with open(os.path.join(model, "in.jsonl")) as stream:
                answer = support.lines(self.ok("run", path, stdin=stream.read()))[0]
            self.assertEqual(answer["label"], label)
            self.assertAlmostEqual(answer["score"], score, delta=1e-5 if path == model else 2e-3)

    def test_label2id(self):
        """Answers need id2label only."""
        for name in ("clf-label2id-default-left", "clf-label2id-strings"):
            self.check(self.case(name, "classify"), "pos", 0.835948)

    def test_names(self):
        labels = ({"0": "neg", "1": "pos"}, {"1": 7, "0": "neg"}, {"00": "a", "01": "a"})
        for number, id2label in enumerate(labels):
            model = self.case("clf-label2id-strings", "classify")
            change_json(os.path.join(model, "config.json"), id2label=id2label, label2id=None, num_labels=3)
            self.check(model, str(list(id2label.values())[1 if number != 1 else 0]), 0.835948)
            self.assertIn("config.json: num_labels: is not applied: id2label has 2 labels",
                          self.ok("info", model).stderr)

    def test_rows_decide(self):
        model = self.case("clf-label2id-strings", "classify")
        change_json(os.path.join(model, "config.json"), id2label={"0": "a", "1": "b", "2": "c"})
        done = support.run("run", model)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model.safetensors: classifier.weight: expected 3 rows, the number of labels in config.json (id2label), "
                      "found 2", done.stderr)
        change_json(os.path.join(model, "config.json"), id2label=None, label2id=None, num_labels=5)
        self.assertIn("expected 5 rows, the number of labels in config.json (num_labels), found 2",
                      support.run("run", model).stderr)

    def test_one_label(self):
        sentence = "sentence_transformers"
        identity, sigmoid = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"
        cases = (({}, self.SIGMOID),
                 ({"problem_type": "single_label_classification"}, self.SIGMOID),
                 ({"problem_type": "multi_label_classification"}, self.SIGMOID),
                 ({"problem_type": "regression"}, self.LOGIT),
                 ({sentence: {"activation_fn": identity, "version": "4.1.0"}}, self.LOGIT),
                 ({sentence: {"activation_fn": sigmoid}}, self.SIGMOID),
                 ({"problem_type": "regression", sentence: {"activation_fn": sigmoid}}, self.SIGMOID),
                 ({"sbert_ce_default_activation_function": identity}, self.LOGIT))
        for changes, score in cases:
            with self.subTest(changes):
                model = self.case("clf-one-label-default", "one-label")
                change_json(os.path.join(model, "config.json"), **changes)
                self.check(model, "LABEL_0", score)
                self.assertEqual(self.ok("info", model).stderr, "")

    def test_one_label_evaluated(self):
        """Numbers are compared with raw outputs."""
        model = self.case("clf-one-label-default", "one-label")
        data = self.write("d.tsv", f"text\tlabel\nhe is good . the movie was great\t{self.LOGIT}\nhe\t0\n")
        self.ok("eval", model, "--data", data, "--save", self.path("p.jsonl"))
        with open(self.path("p.jsonl")) as stream:
            first = float(stream.readline())
        self.assertAlmostEqual(first, self.LOGIT, places=5)

    def test_other_activation(self):
        model = self.case("clf-one-label-default", "one-label")
        change_json(os.path.join(model, "config.json"),
                    sentence_transformers={"activation_fn": "torch.nn.modules.activation.Tanh"})
        done = support.run("run", model)
        self.assertEqual(done.returncode, 1)
        self.assertIn('config.json: sentence_transformers.activation_fn: "torch.nn.modules.activation.Tanh" is not supported',
                      done.stderr)


class Embeddings(support.Scratch):
    """What sentence-transformers' files say, against sentence-transformers."""
    MEAN = [-0.983985, 0.9861, 1.084952, 1.510065, -0.060585, -0.305921, -0.316993, -0.524543, -0.836609, 0.709821,
            -0.380225, -2.42286, 0.286702, 1.510374, 0.295604, -0.86697]
    PROMPT = [-0.174204, 0.301838, 0.332348, 0.341987, -0.012657, -0.09707, -0.209764, -0.132008, -0.225338, 0.130696,
              -0.153328, -0.517706, 0.085192, 0.386168, 0.096303, -0.234694]
    LOWER = [-0.639783, 0.80952, 0.555843, 1.951859, -0.905316, -0.735153, -0.2899, -0.072899, -0.611601, 0.161179,
             0.178513, -2.701717, 0.451501, 1.7697, -0.003897, -0.916264]
    CUT = [-0.205542, 0.26028, 0.246676, 0.418529, -0.071245, -0.161221, -0.124302, -0.173654]

    def embed(self, model, text=None):
        stdin = json.dumps({"text": text}) if text else None
        if not stdin:
            with open(os.path.join(os.path.dirname(model), os.path.basename(model).removesuffix(".esp"),
                                   "in.jsonl")) as stream:
                stdin = stream.read()
        return support.lines(self.ok("run", model, stdin=stdin))[0]["embedding"]

    def near(self, found, expected, delta):
        self.assertEqual(len(found), len(expected))
        for a, b in zip(found, expected):
            self.assertAlmostEqual(a, b, delta=delta)

    def check(self, name, expected):
        model = self.case(name, "embed")
        self.near(self.embed(model), expected, 2e-6)
        self.near(self.embed(self.compiled(model)), expected, 0.02) # embeddings of words are bf16
        return model

    def test_length(self):
        model = self.check("emb-model-max-length-below", self.MEAN)
        change_json(os.path.join(model, "sentence_bert_config.json"), max_seq_length=None)
        cut = self.embed(model, "the cat sat on the mat")
        self.assertEqual(self.embed(model), cut)  # model_max_length is 8
        self.assertEqual(self.embed(self.compiled(model)), self.embed(self.path(model + ".esp"), "the cat sat on the mat"))

    def test_no_pooling_mode(self):
        self.check("emb-pooling-all-false", self.MEAN)

    def test_prompt(self):
        model = self.check("emb-default-prompt", self.PROMPT)
        for path in (model, model + ".esp"):
            self.assertEqual(json.loads(self.ok("info", "--json", path).stdout)["prompt"], "query : ")
        change_json(os.path.join(model, "config_sentence_transformers.json"), default_prompt_name=None)
        self.assertEqual(self.embed(model, "query : the cat sat"), self.embed_with_prompt("emb-default-prompt"))
        change_json(os.path.join(model, "config_sentence_transformers.json"), default_prompt_name="other")
        done = support.run("run", model)
        self.assertEqual(done.returncode, 1)
        self.assertIn('default_prompt_name: expected the name of a member of "prompts", found "other"', done.stderr)

    def embed_with_prompt(self, name):
        support.shutil.move(self.path(name), self.path("other"))
        return self.embed(self.case(name, "embed"))

    def test_lower_case(self):
        model = self.check("emb-st-do-lower-case", self.LOWER)
        self.assertEqual(self.embed(model), self.embed(model, "hello world ada paris"))

    def test_cut(self):
        model = self.check("emb-truncate-dim", self.CUT)
        data = self.write("d.tsv", "sentence1\tsentence2\tscore\nthe cat\tthe cat sat\t1\nthe\tada\t0\n")
        for path in (model, model + ".esp"):
            self.assertEqual(json.loads(self.ok("info", "--json", path).stdout)["embedding"], 8)
            self.ok("eval", path, "--data", data)

    def test_dense(self):
        done = support.run("run", self.case("emb-dense", "embed"))
        self.assertEqual(done.returncode, 1)
        self.assertIn('modules.json: [2].type: module "Dense" is not supported here', done.stderr)

    def test_folder(self):
        """Version 0 to 2 of sentence-transformers put the encoder into a folder of its own."""
        model = self.case("emb-pooling-all-false", "embed")
        encoder = os.path.join(model, "0_BERT")
        os.mkdir(encoder)
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            os.rename(os.path.join(model, name), os.path.join(encoder, name))
        os.rename(os.path.join(model, "sentence_bert_config.json"), os.path.join(encoder, "sentence_distilbert_config.json"))
        with open(os.path.join(model, "config.json"), "w") as stream:
            json.dump({"__version__": "0.2.5.1"}, stream)
        with open(os.path.join(model, "modules.json")) as stream:
            modules = json.load(stream)
        modules[0].update(path="0_BERT", type="sentence_transformers.models.BERT")
        self.write("emb-pooling-all-false/modules.json", json.dumps(modules))
        self.near(self.embed(model), self.MEAN, 2e-6)
        self.near(self.embed(self.compiled(model)), self.MEAN, 0.02)
        data = self.write("d.tsv", "sentence1\tsentence2\tscore\nthe cat\tthe cat sat\t1\nthe\tada\t0\n")
        self.ok("train", model, "--task", "embed", "--train", data, "--max-steps", 1, "--learning-rate", "1e-9", "-q", "-o", self.path("new"))
        self.near(self.embed(self.path("new"), "the cat sat on the mat . ada wrote it in berlin . he is good . she lives in paris"),
                  self.MEAN, 2e-5)

    def test_pooling_missing(self):
        model = self.case("emb-pooling-all-false", "embed")
        support.shutil.rmtree(os.path.join(model, "1_Pooling"))
        done = support.run("run", model)
        self.assertEqual(done.returncode, 1)
        self.assertIn('1_Pooling/config.json is not there: copy the model\'s folder "1_Pooling"', done.stderr)

    def test_quiet(self):
        """Files as sentence-transformers writes them give no warning."""
        model = self.case("emb-truncate-dim", "embed")
        change_json(os.path.join(model, "sentence_bert_config.json"), transformer_task="feature-extraction",
                    modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
                    module_output_name="token_embeddings")
        change_json(os.path.join(model, "config_sentence_transformers.json"), similarity_fn_name="cosine",
                    model_type="SentenceTransformer", prompts={"query": "", "document": ""},
                    __version__={"sentence_transformers": "5.4.0", "transformers": "4.57.0", "pytorch": "2.9.0"})
        self.assertEqual(self.ok("info", model).stderr, "")
        change_json(os.path.join(model, "config_sentence_transformers.json"), new_member=3)
        change_json(os.path.join(model, "1_Pooling", "config.json"), other=True, word_embedding_dimension=17)
        change_json(os.path.join(model, "sentence_bert_config.json"), model_args={"attn_implementation": "eager"})
        stderr = self.ok("info", model).stderr
        for text in ("config_sentence_transformers.json: new_member: 3 is not applied: this member is not known",
                     "1_Pooling/config.json: other: true is not applied: this member is not known",
                     "1_Pooling/config.json: word_embedding_dimension: is not applied: the encoder's hidden size is 16",
                     'sentence_bert_config.json: model_args: {"attn_implementation":"eager"} is not applied: arguments'):
            self.assertIn(text, stderr)


class Checkpoints(support.Scratch):
    """What is there and what to do is said; what is unambiguous is taken."""

    def refused(self, model, *texts, arguments=()):
        done = support.run("run", model, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        for text in texts:
            self.assertIn(text, done.stderr)

    def rename(self, model, prefix, inner="bert."):
        """Names each tensor anew: `prefix` in the place of "" or, inside the encoder, of "bert."."""
        path = os.path.join(model, "model.safetensors")
        header, data = support.read_safetensors(path)
        new = {name if name == "__metadata__" else
               prefix + inner + name[5:] if name.startswith("bert.") else prefix + name: value
               for name, value in header.items()}
        support.write_safetensors(path, new, data)

    def test_no_architectures(self):
        model = self.case("cfg-no-architectures", "classify")
        with open(os.path.join(model, "in.jsonl")) as stream:
            question = stream.read()
        self.ok("compile", model, "-t", "classify", "--precision", "fp32", "-o", self.path("m.esp"))
        for path in (model, self.path("m.esp")):
            answer = support.lines(self.ok("run", path, "-t", "classify", stdin=question))[0]
            self.assertEqual(answer["label"], "LABEL_1")
            self.assertAlmostEqual(answer["score"], 0.835948, delta=1e-5 if path == model else 2e-3)
        self.assertIn('config.json names no architectures, but there are tensors of a head (classifier.bias, '
                      'classifier.weight): add "architectures" as transformers writes it, or give the task (-t classify, '
                      'or tag)', self.ok("run", model).stderr)
        self.refused(model, "missing tensors (2): qa_outputs.weight, qa_outputs.bias; not used (2): classifier.bias",
                     arguments=("-t", "qa"))
        change_json(os.path.join(model, "config.json"), architectures=["BertForSequenceClassification"])
        self.assertEqual(support.lines(self.ok("run", model, stdin=question))[0]["label"], "LABEL_1")

    def test_no_model_type(self):
        model = self.case("clf-label2id-strings", "classify")
        config = os.path.join(model, "config.json")
        change_json(config, model_type=None)
        with open(os.path.join(model, "in.jsonl")) as stream:
            self.assertEqual(support.lines(self.ok("run", model, stdin=stream.read()))[0]["label"], "pos")
        change_json(config, architectures=None)
        self.refused(model, "config.json: model_type: expected the family of the model, found nothing (there are hidden_act, ",
                     'add "model_type": one of bert, distilbert')

    def test_prefixes(self):
        with open(os.path.join(support.CASES, "clf-label2id-strings", "in.jsonl")) as stream:
            question = stream.read()
        for prefix, inner in (("module.", "bert."), ("model.", "bert."), ("model.", ""), ("module.model.", "encoder."),
                              ("_orig_mod.", "bert."), ("", "")):
            with self.subTest(prefix + inner):
                model = self.case("clf-label2id-strings", "classify")
                self.rename(model, prefix, inner)
                done = self.ok("run", model, stdin=question)
                self.assertAlmostEqual(support.lines(done)[0]["score"], 0.835948, places=5)
                self.assertEqual(done.stderr, "")
        model = self.case("clf-label2id-strings", "classify")
        self.rename(model, "student.")
        self.refused(model, "missing tensors (", "; not used (", "student.")

    def test_two_encoders(self):
        model = self.case("clf-label2id-strings", "classify")
        path = os.path.join(model, "model.safetensors")
        header, data = support.read_safetensors(path)
        end, new = len(data), {}
        for name, value in header.items():
            if name != "__metadata__":
                low, high = value["data_offsets"]
                new["model." + name] = value
                new["encoder." + name] = {**value, "data_offsets": [low + end, high + end]}
        support.write_safetensors(path, new, data + data)
        self.refused(model, "missing tensors (", "; not used (", "encoder.")

    def test_not_weights(self):
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
        page = b"<!DOCTYPE html>\n<html><body>404</body></html>"
        for name, expected in (("model.safetensors", "a safetensors file"), ("config.json", "JSON"),
                               ("tokenizer.json", "JSON")):
            for content, what in ((pointer, "a Git LFS pointer"), (page, "an HTML page"),
                                  (b"Entry not found", "the message of a failed download")):
                model = self.case("clf-label2id-strings", "classify")
                with open(os.path.join(model, name), "wb") as stream:
                    stream.write(content)
                self.refused(model, f"{name}: expected {expected}, found {what}: fetch the file itself")
        model = self.case("clf-label2id-strings", "classify")
        with open(os.path.join(model, "model.safetensors"), "wb") as stream:
            stream.write(b"PK\x03\x04" + bytes(20))
        self.refused(model, "model.safetensors: expected a safetensors file, found a zip archive (a spreadsheet, or weights "
                     "of PyTorch): save the model as safetensors")
        model = self.case("clf-label2id-strings", "classify")
        os.remove(os.path.join(model, "tokenizer.json"))
        with open(os.path.join(model, "vocab.txt"), "wb") as stream:
            stream.write(page)
        self.refused(model, "vocab.txt: expected a token a line, found an HTML page: fetch the file itself")

    def test_pickle_only(self):
        for name in ("pytorch_model.bin", "tf_model.h5", "model.onnx"):
            model = self.case("clf-label2id-strings", "classify")
            os.rename(os.path.join(model, "model.safetensors"), os.path.join(model, name))
            self.refused(model, f"{name}: this format is not read; convert the model to safetensors")

    def test_missing_shard(self):
        model = self.case("clf-label2id-strings", "classify")
        path = os.path.join(model, "model.safetensors")
        header, _ = support.read_safetensors(path)
        names = [name for name in header if name != "__metadata__"]
        index = {"weight_map": {name: f"model-0000{1 + (i > 3)}-of-00002.safetensors" for i, name in enumerate(names)}}
        os.rename(path, os.path.join(model, "model-00001-of-00002.safetensors"))
        self.write("clf-label2id-strings/model.safetensors.index.json", json.dumps(index))
        self.refused(model, "model.safetensors.index.json: weight_map.", "the file model-00002-of-00002.safetensors it names is "
                     "not there: copy all files of the model into ")


if __name__ == "__main__":
    support.main()
