#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Questions made from the passages themselves, for models that have read nothing before SQuAD.

A sentence loses a name, a number or a short phrase; what is left around the gap, less some of its words, with a question
word in the gap, is the question and what was lost is the answer. That teaches a small model to look in the passage for the
words of the question, which the 88,000 real questions alone hardly do. Only passages of the file given are used.

  cloze_questions.py TRAIN.json SENTENCES EACH > OUT.json

TRAIN.json   a file in the format of SQuAD v1.1
SENTENCES    of a passage at most: longer ones are cut; 0: as they are. Looking things up is learned from short ones first
EACH         questions a passage at most
"""
import json
import random
import re
import sys

SENTENCE = re.compile(r"[^.!?]+(?:[.!?](?=\S)[^.!?]*)*[.!?]?")
WORD = re.compile(r"\w+(?:[-'’.,]\w+)*")
NAME = re.compile(r"(?:[A-Z][\w-]+)(?: (?:of|the|de|and) (?=[A-Z])[A-Z][\w-]+| [A-Z][\w-]+){0,3}")
NUMBER = re.compile(r"\$?\b\d[\d,.]*\d?%?(?: (?:million|billion|percent|years|months|days|people))?")
YEAR = re.compile(r"\b(?:1\d\d\d|20[01]\d)\b")
PHRASE = re.compile(r"\b(?:the|an|in|of|by|to) ([a-z][\w-]+(?: [a-z][\w-]+){0,2})")
LITTLE = {"the", "a", "an", "of", "in", "to", "and", "is", "was", "were", "are", "by", "for", "on", "as", "with", "that", "it"}


def spans(sentence, start):
    """Answers a sentence offers: (begin, end, question word), offsets in the passage."""
    found = []
    for match in NAME.finditer(sentence):
        if match.start() > 1 and match.group().lower() not in LITTLE:
            found.append((match.span(), random.choice(["who", "what", "which", "where", "what"])))
    for match in NUMBER.finditer(sentence):
        year = YEAR.fullmatch(match.group())
        found.append((match.span(), random.choice(["when", "what year"] if year else ["how many", "how much", "what"])))
    for match in PHRASE.finditer(sentence):
        if random.random() < 0.3:
            found.append((match.span(1), "what"))
    return [(start + begin, start + begin + len(sentence[begin:end].rstrip(" ,.")), word) for (begin, end), word in found]


def question(context, sentence, answer):
    """What is left of the sentence around the answer."""
    begin, end, word = answer
    reach = random.randint(4, 9)
    left = [m.group() for m in WORD.finditer(context[sentence[0] : begin])][-reach:]
    right = [m.group() for m in WORD.finditer(context[end : sentence[1]])][:reach]
    drop = lambda words: [w for w in words if random.random() > (0.5 if w.lower() in LITTLE else 0.15)]
    left, right = drop(left), drop(right)
    if len(left) + len(right) < 3:
        return None
    if random.random() < 0.5:
        words = [word] + right + left
    else:
        words = left + [word] + right
    return " ".join(words) + "?"


def cut(context, sentences):
    """A passage in pieces of a few sentences."""
    if not sentences:
        return [context]
    starts = [match.start() for match in SENTENCE.finditer(context)][::sentences] + [len(context)]
    return [context[begin:end].strip() for begin, end in zip(starts, starts[1:])]


def ask(context, each):
    """(question, begin, end) of a passage."""
    made = []
    for match in SENTENCE.finditer(context):
        for answer in spans(match.group(), match.start()):
            text = question(context, match.span(), answer)
            if text and answer[1] > answer[0]:
                made.append((text, *answer[:2]))
    random.shuffle(made)
    return made[:each]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sentences, each = int(sys.argv[2]), int(sys.argv[3])
    random.seed(1)
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)["data"]
    count = 0
    for article in data:
        paragraphs = []
        for context in (piece for whole in article["paragraphs"] for piece in cut(whole["context"], sentences)):
            qas = []
            for text, begin, end in ask(context, each):
                answer = {"text": context[begin:end], "answer_start": begin}
                qas.append({"id": f"cloze-{count}", "question": text, "answers": [answer]})
                count += 1
            paragraphs.append({"context": context, "qas": qas})
        article["paragraphs"] = paragraphs
    json.dump({"version": "cloze", "data": data}, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
