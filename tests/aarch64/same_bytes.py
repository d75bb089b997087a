# SPDX-License-Identifier: Apache-2.0
"""Compiled reference models give the same bytes on another architecture as here.
    same_bytes.py LEAST MODELS PROGRAM OTHER...
LEAST: models with a tokenizer that have to be there; MODELS: the directory of the reference checkpoints; PROGRAM compiles and answers here; each OTHER is a command line, such as
"qemu-aarch64 -cpu max build/aarch64/espalier", that answers from the same files. Every model that PROGRAM can compile is
compared, dense and with 80 % of its weights removed, with steps per token and, where it has a tokenizer, calibrated ones: raw
outputs, and with a tokenizer answers."""
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile

CONTEXT = "Ada Lovelace wrote the first program for the Analytical Engine in London."
WORDS = CONTEXT.split()
TASKS = {"QuestionAnswering": "qa", "TokenClassification": "tag", "SequenceClassification": "classify", "MaskedLM": "mlm"}


def task_of(config):
    name = config["architectures"][0]
    return next((task for end, task in TASKS.items() if name.endswith(end)), "embed")


def calibration(task, config):
    """A data set of the task and how to say it."""
    if task == "qa":
        return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [
            {"id": str(i), "question": f"Who wrote {word}?", "answers": [{"text": "Ada", "answer_start": 0}]}
            for i, word in enumerate(WORDS)]}]}]})
    if task == "tag":
        return json.dumps({"tokens": WORDS, "tags": [0] * len(WORDS)})
    if task == "mlm":
        return CONTEXT
    label = [0] if config.get("problem_type") == "multi_label_classification" else 0
    return "".join(json.dumps({"text": f"{word} {CONTEXT}", **({"pair": CONTEXT} if task == "embed" else {}),
                               "label": label}) + "\n" for word in WORDS)


def raw_lines(task, config):
    """Of mlm fewer: each token's line of logits is as long as the vocabulary."""
    rng = random.Random(6)
    lengths = (1, 17, 65) if task == "mlm" else (1, 2, 17, 64, 65, 100)
    return "".join(json.dumps({"input_ids": [rng.randrange(5, config["vocab_size"]) for _ in range(length)]}) + "\n"
                   for length in lengths)


def text_lines(task):
    if task == "qa":
        return "".join(json.dumps({"question": f"Who wrote {word}?", "context": CONTEXT}) + "\n" for word in WORDS)
    mask = " [MASK] <mask>" if task == "mlm" else ""
    return "".join(json.dumps({"text": f"{word} Zürich {CONTEXT}{mask}"}) + "\n" for word in WORDS)


def run(command, *arguments, stdin=""):
    return subprocess.run([*command, *map(str, arguments)], input=stdin.encode(), capture_output=True, check=False)


def ok(command, *arguments):
    done = run(command, *arguments)
    if done.returncode:
        sys.exit(f"{shlex.join([*command, *map(str, arguments)])}: {done.stderr.decode()}")


def has_tokenizer(program, model):
    return run(program, "tokenize", model).returncode == 0


def compile_variants(program, model, config, task, tokenizer, scratch):
    """Paths of the compiled files by name; none when the model's family is not known yet."""
    name = os.path.basename(model)
    data, sparse = os.path.join(scratch, "data"), os.path.join(scratch, f"{name}-sparse")
    with open(data, "w", encoding="utf-8") as stream:
        stream.write(calibration(task, config))
    refusal = run(program, "compile", model, "-o", os.path.join(scratch, "try.esp"))
    if refusal.returncode:
        print(f"{name}: left out: {refusal.stderr.decode().strip()}")
        return {}
    ok(program, "prune", model, "--sparsity", 0.8, "-q", "-o", sparse)
    files = {}
    for kind, checkpoint in (("dense", model), ("sparse", sparse)):
        for steps, arguments in (("per token", []), ("static", ["--calibrate", data, "--task", task])):
            if arguments and not tokenizer:
                continue
            files[f"{name}, {kind}, {steps}"] = path = os.path.join(scratch, f"{name} {kind} {steps}.esp")
            ok(program, "compile", checkpoint, "--sparse", "never" if kind == "dense" else "always", *arguments, "-o", path)
    return files


def differs(program, other, path, calls):
    """What is not the same; None: nothing."""
    for what, arguments, stdin in calls:
        here, there = (run(command, "run", path, *arguments, stdin=stdin) for command in (program, other))
        if not here.stdout or here.returncode != there.returncode or here.stdout != there.stdout:
            return f"{what} ({here.returncode} and {there.returncode}) {there.stderr.decode()[:300]}"
    return None


def compare_model(program, others, model):
    """How many comparisons there were and how many failed, and whether the model has a tokenizer."""
    with open(os.path.join(model, "config.json"), encoding="utf-8") as stream:
        config = json.load(stream)
    task, failed, tokenizer = task_of(config), 0, has_tokenizer(program, model)
    calls = [("raw outputs", ["--raw"], raw_lines(task, config))]
    if tokenizer:
        calls.append(("answers", ["--task", task], text_lines(task)))
    with tempfile.TemporaryDirectory() as scratch:
        files = compile_variants(program, model, config, task, tokenizer, scratch)
        for other in others:
            for variant, path in files.items():
                problem = differs(program, other, path, calls)
                failed += bool(problem)
                print(f"{variant}: {'differs: ' + problem if problem else 'same bytes'} ({shlex.join(other[:-1])})", flush=True)
    return len(files) * len(others), failed, tokenizer


def main():
    least, models, program, others = int(sys.argv[1]), sys.argv[2], [sys.argv[3]], [shlex.split(a) for a in sys.argv[4:]]
    whole = compared = failed = 0
    for name in sorted(os.listdir(models)):
        comparisons, failures, tokenizer = compare_model(program, others, os.path.join(models, name))
        whole += comparisons > 0 and tokenizer
        compared += comparisons
        failed += failures
    print(f"{compared - failed} of {compared} comparisons agree, {whole} models with a tokenizer")
    return 1 if failed or whole < least else 0


if __name__ == "__main__":
    sys.exit(main())
