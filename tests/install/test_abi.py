#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/abi.py catches what breaks a program that was built before, and lets pass what does not: a small library is dumped,
and each change of its header built and compared.

  tests/install/test_abi.py C_COMPILER
"""
import os
import subprocess
import sys
import tempfile

ABI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "abi.py")
HEADER = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef enum t_kind { T_ONE, T_TWO } t_kind;
typedef struct t_options {
    size_t size;
    t_kind kind;
    bool flag;
    bool reserved_flags[3];
    const char *const *names;
    uint64_t reserved[4];
} t_options;
typedef struct t_answer {
    double score;
    uint64_t reserved[2];
} t_answer;
typedef struct t_model t_model;
typedef void t_log(void *cookie, const char *text);
__attribute__((visibility("default"))) int t_run(t_model *model, const t_options *options, t_answer *out);
__attribute__((visibility("default"))) void t_log_to(t_model *model, t_log *log, t_kind kind);
"""
PRIVATE = """
#include "t.h"
struct t_model { t_log *log; t_kind kind; };
"""
SOURCE = """
#include "private.h"
int t_run(t_model *model, const t_options *options, t_answer *out)
{
    out->score = options->flag;
    return model ? 0 : -1;
}
void t_log_to(t_model *model, t_log *log, t_kind kind)
{
    model->log = log;
    model->kind = kind;
}
"""
SONAME = "libt.so.1"

# What is changed in header and source: (old, new) …; what is said of it, None: nothing, since it may be.
GROWTH = [
    ("a struct behind its pointer", [("t_kind kind; };", "t_kind kind; int more; };")]),
    ("a member in reserved words", [("uint64_t reserved[4];", "size_t more; uint64_t reserved[3];")]),
    ("the last reserved word", [("uint64_t reserved[2];", "double x; double y;")]),
    ("a flag in reserved flags", [("bool reserved_flags[3];", "bool more; bool reserved_flags[2];")]),
    ("an enumerator", [("T_TWO }", "T_TWO, T_THREE }")]),
    ("a function", [("typedef struct t_model", '__attribute__((visibility("default"))) int t_new(void);\ntypedef struct t_model'),
                    ('#include "private.h"', '#include "private.h"\nint t_new(void) { return 0; }')]),
    ("another name of a type", [("size_t size;", "unsigned long size;")]),
]
BREAKS = [
    ("a struct grows", [("uint64_t reserved[2];", "uint64_t reserved[3];")], "struct t_answer: expected 24 bytes, found 32"),
    ("a member where nothing was reserved", [("double score;", "float score; float more;")],
     "struct t_answer: more: it is new and stands where nothing was reserved, at byte 4"),
    ("a member is gone", [("bool flag;", "bool reserved_flag;"), ("options->flag", "0")],
     "struct t_options: flag: expected bool at byte 12, found none"),
    ("members change places", [("size_t size;\n    t_kind kind;", "t_kind kind;\n    bool early;\n    size_t size;")],
     "struct t_options: size: expected unsigned long int at byte 0, found unsigned long int at byte 8"),
    ("a member of another type", [("size_t size;", "int64_t size;")],
     "struct t_options: size: expected unsigned long int at byte 0, found long int at byte 0"),
    ("an enumerator in front", [("T_ONE, T_TWO", "T_ZERO, T_ONE, T_TWO")], "enum t_kind: T_ONE: expected 0, found 1"),
    ("an enumerator is gone", [("T_ONE, T_TWO", "T_ONE")], "enum t_kind: T_TWO: expected 1, found none"),
    ("another parameter", [("t_log *log, t_kind kind)", "t_log *log, t_kind kind, int more)")] * 2,
     "function t_log_to: expected void t_log_to(struct t_model*, void (void*, const char*)*, enum t_kind), found"),
    ("another result", [("int t_run(", "long t_run(")] * 2, "function t_run: expected int t_run("),
    ("a callback's parameter", [("const char *text);", "const char *text, int level);")], "function t_log_to: expected"),
    ("a function is gone", [("void t_log_to(", "void t_log_gone(")] * 2, "function t_log_to: it is gone"),
    ("a function that is hidden", [('__attribute__((visibility("default"))) void', "void")], "function t_log_to: it is gone"),
    ("another SONAME", [(SONAME, "libt.so.2")], "SONAME: expected libt.so.1, found libt.so.2"),
]


def build(folder, compiler, changes):
    """The library and the folder of its header, after each change of the first text that has what it replaces."""
    texts = [HEADER, PRIVATE, SOURCE, SONAME]
    done = set()
    for old, new in changes:
        place = next(i for i, text in enumerate(texts) if old in text and (i, old) not in done)
        texts[place] = texts[place].replace(old, new)
        done.add((place, old))
    headers, source, library = (os.path.join(folder, name) for name in ("include", "t.c", "libt.so"))
    os.makedirs(headers)
    for path, text in zip((os.path.join(headers, "t.h"), os.path.join(folder, "private.h"), source), texts):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    subprocess.run([compiler, "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-I", headers, source, "-o", library,
                    f"-Wl,-soname,{texts[3]}"], check=True)
    return library, headers


def main(compiler):
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        dump = os.path.join(work, "dump")
        made = subprocess.run([ABI, "dump", *build(os.path.join(work, "old"), compiler, []), dump], check=False)
        if made.returncode:
            return made.returncode
        cases = [("nothing", [], None), *((*growth, None) for growth in GROWTH), *BREAKS]
        for i, (name, changes, expected) in enumerate(cases):
            library, headers = build(os.path.join(work, str(i)), compiler, changes)
            run = subprocess.run([ABI, "check", library, headers, dump], capture_output=True, text=True, check=False)
            right = run.returncode == 0 if expected is None else run.returncode == 1 and expected in run.stderr
            if not right:
                failed += 1
                print(f"{name}: expected {expected or 'nothing'}; exit status {run.returncode}, {run.stderr}{run.stdout}")
        print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
