# SPDX-License-Identifier: Apache-2.0
"""The whole way of the families that have what BERT has not (embeddings of another width, layers that share their weights,
biases by distance): trained from a teacher with pruning and rounded activations, made smaller, compiled dense and sparse with
steps of each kind to the same answers on every instruction set."""
import json

import support
from train_support import examples, weights_of

SHAPE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48,
         "max_position_embeddings": 66, "architectures": []}
FAMILIES = {
    "camembert": {"pad_token_id": 0, "type_vocab_size": 1},
    "electra": {"embedding_size": 20},
    "albert": {"embedding_size": 24, "num_hidden_groups": 2},
    "mpnet": {},
}


class Training(support.Scratch):
    def classifier(self, family):
        return self.model(family, head="sequence", labels="a,b", model_type=family, **SHAPE, **FAMILIES[family])

    def same_everywhere(self, compiled):
        stdin = "".join(json.dumps({"text": row.split("\t")[0]}) + "\n" for row in examples(20, 9).splitlines()[1:])
        first = self.ok("run", compiled, stdin=stdin).stdout
        for isa in self.isas(compiled):
            self.assertEqual(self.ok("run", compiled, stdin=stdin, env={"ESPALIER_ISA": isa}).stdout, first, isa)
        self.assertEqual(self.ok("run", compiled, "--threads", 2, "--batch-tokens", 16, stdin=stdin).stdout, first)

    def check(self, family):
        model, train = self.classifier(family), self.write("train.tsv", examples(200, 1))
        dev = self.write("dev.tsv", examples(60, 2))
        common = ["--task", "classify", "--train", train, "--batch-size", 8, "--compute", "fp32", "-q"]
        teacher, student = self.path(f"{family}-teacher"), self.path(f"{family}-student")
        self.ok("train", model, *common, "--epochs", 6, "--learning-rate", 3e-3, "-o", teacher)
        accuracy = json.loads(self.ok("eval", teacher, "--task", "classify", "--data", dev, "--json").stdout)["accuracy"]
        self.assertGreater(accuracy, 0.8)
        self.ok("train", teacher, *common, "--teacher", teacher, "--hidden-weight", 1, "--sparsity", 0.5, "--qat", "--max-steps",
                30, "--learning-rate", 1e-3, "-o", student)
        for name, source, more in (("dense", teacher, ["--calibrate", train]), ("token", teacher, []),
                                   ("sparse", student, ["--sparse", "always"]),
                                   ("smooth", teacher, ["--calibrate", train, "--smooth", 0.5])):
            with self.subTest(family=family, file=name):
                compiled = self.path(f"{family}-{name}.esp")
                self.ok("compile", source, *more, "-o", compiled)
                report = json.loads(self.ok("eval", compiled, "--task", "classify", "--data", dev, "--json").stdout)
                self.assertGreater(report["accuracy"], accuracy - 0.15)
                self.same_everywhere(compiled)
        smaller = self.path(f"{family}-smaller")
        self.ok("prune", teacher, "--remove-heads", 0.25, "--remove-neurons", 0.25, "--score", "snip-momentum", "--calibrate",
                train, "-o", smaller)
        heads = json.loads(self.ok("info", smaller, "--json").stdout)["layer_heads"]
        self.assertEqual(sum(heads), 12)
        if family == "albert":  # layers that share their weights have the same heads
            self.assertEqual(heads[::2], heads[1::2])
        self.ok("compile", smaller, "--calibrate", train, "-o", smaller + ".esp")
        self.same_everywhere(smaller + ".esp")
        self.ok("train", smaller, *common, "--max-steps", 5, "--teacher", teacher, "--threads", 1, "-o", smaller + "-1")
        self.ok("train", smaller, *common, "--max-steps", 5, "--teacher", teacher, "--threads", 2, "-o", smaller + "-2")
        self.assertEqual(weights_of(smaller + "-1"), weights_of(smaller + "-2"))

    def test_camembert(self):
        self.check("camembert")

    def test_electra(self):
        self.check("electra")

    def test_albert(self):
        self.check("albert")

    def test_mpnet(self):
        self.check("mpnet")


if __name__ == "__main__":
    support.main()
