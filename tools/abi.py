#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ABI of a shared library against that of its last release: it may only grow (docs/releasing.md).

  tools/abi.py dump LIBRARY HEADERS            writes abi/SONAME.abi
  tools/abi.py check LIBRARY HEADERS [DUMP]    compares with it, or with DUMP

A dump is what abidw (libabigail) says of the functions the library exports and of the types in the folder HEADERS. Programs
that were built before go on when every function is there with the same types, enumerators have their numbers, structs their
size and members their places; new members lie where the last release had members named reserved… Exit status: 1 when the ABI
has not only grown, 77 without abidw (1 where CI is set).
"""
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "abi")
# Nothing of the machine, the paths or the compiler: dumps of one header are the same text wherever they are made.
ABIDW = ("abidw --drop-private-types --exported-interfaces-only --no-architecture --no-corpus-path --no-comp-dir-path "
         "--no-elf-needed --no-show-locs --no-parameter-names --type-id-style hash --headers-dir").split()


class Failure(Exception):
    pass


def make_dump(library, headers):
    text = subprocess.run([*ABIDW, headers, library], check=True, capture_output=True, text=True).stdout
    return re.sub(r"(<abi-instr [^>]*path=')[^']*/", r"\1", text)


class Abi:
    """A dump: functions, structs and enumerations by name."""

    def __init__(self, text, name):
        root = xml.fromstring(text)
        self.soname = root.get("soname")
        self.types, self.functions, self.structs, self.enums = {}, {}, {}, {}
        for element in root.iter():
            if element.get("id"):
                self.types[element.get("id")] = element
            if element.tag == "function-decl":
                self.functions[element.get("name")] = element
            elif element.tag in ("class-decl", "union-decl") and not element.get("is-declaration-only"):
                self.structs[element.get("name")] = element
            elif element.tag == "enum-decl":
                self.enums[element.get("name")] = {e.get("name"): int(e.get("value")) for e in element.iter("enumerator")}
        missing = {s.get("name") for s in root.iter("elf-symbol")} - set(self.functions)
        if missing:
            raise Failure(f"{name}: no debug information of {', '.join(sorted(missing))}: build with -g")

    def spell(self, number):
        """The type as text, typedefs resolved; structs and enumerations are compared on their own."""
        of = self.types[number]
        inner = of.get("type-id")
        if of.tag == "pointer-type-def":
            return self.spell(inner) + "*"
        if of.tag == "qualified-type-def":
            return "const " * (of.get("const") == "yes") + "volatile " * (of.get("volatile") == "yes") + self.spell(inner)
        if of.tag == "typedef-decl":
            return self.spell(inner)
        if of.tag == "array-type-def":
            return self.spell(inner) + "".join(f"[{r.get('length')}]" for r in of.findall("subrange"))
        if of.tag == "function-type":
            return self.signature(of, "")
        return {"class-decl": "struct ", "union-decl": "union ", "enum-decl": "enum "}.get(of.tag, "") + of.get("name")

    def signature(self, function, name):
        parameters = ("..." if p.get("is-variadic") else self.spell(p.get("type-id")) for p in function.findall("parameter"))
        return f"{self.spell(function.find('return').get('type-id'))} {name}({', '.join(parameters)})"

    def bits(self, number):
        of = self.types[number]
        if of.get("size-in-bits"):
            return int(of.get("size-in-bits"))
        if of.tag in ("typedef-decl", "qualified-type-def"):
            return self.bits(of.get("type-id"))
        return 32 if of.tag == "enum-decl" else 64  # a pointer

    def members(self, struct):
        """[(name, type, first bit, bit behind it)]"""
        result = []
        for member in self.structs[struct].findall("data-member"):
            variable = member.find("var-decl")
            begin = int(member.get("layout-offset-in-bits"))
            result.append((variable.get("name"), self.spell(variable.get("type-id")), begin,
                           begin + self.bits(variable.get("type-id"))))
        return result


def is_reserved(member):
    return member[0].startswith("reserved")


def compare_struct(name, old, new):
    was, now = (int(abi.structs[name].get("size-in-bits")) // 8 for abi in (old, new))
    if was != now:
        yield f"struct {name}: expected {was} bytes, found {now}"
    room = [(begin, end) for _, _, begin, end in filter(is_reserved, old.members(name))]
    found = new.members(name)
    for member in old.members(name):
        if not is_reserved(member) and member not in found:
            same = [m for m in found if m[0] == member[0]]
            place = f"{same[0][1]} at byte {same[0][2] // 8}" if same else "none"
            yield f"struct {name}: {member[0]}: expected {member[1]} at byte {member[2] // 8}, found {place}"
    for member in found:
        free = any(begin <= member[2] and member[3] <= end for begin, end in room)
        if not free and member[0] not in {m[0] for m in old.members(name) if not is_reserved(m)}:
            yield f"struct {name}: {member[0]}: it is new and stands where nothing was reserved, at byte {member[2] // 8}"


def compare(old, new):
    """What breaks programs that were built with `old`, a line for each."""
    if old.soname != new.soname:
        yield f"SONAME: expected {old.soname}, found {new.soname}"
    for name in sorted(old.functions):
        if name not in new.functions:
            yield f"function {name}: it is gone"
            continue
        was, now = (abi.signature(abi.functions[name], name) for abi in (old, new))
        if was != now:
            yield f"function {name}: expected {was}, found {now}"
    for name in sorted(old.structs):
        if name not in new.structs:
            yield f"struct {name}: it is gone, or its members are"
        else:
            yield from compare_struct(name, old, new)
    for name in sorted(old.enums):
        for enumerator, value in old.enums[name].items():
            found = new.enums.get(name, {}).get(enumerator, "none")
            if found != value:
                yield f"enum {name}: {enumerator}: expected {value}, found {found}"


def additions(old, new):
    yield from (f"function {name}" for name in sorted(set(new.functions) - set(old.functions)))
    for name in sorted(set(old.structs) & set(new.structs)):
        known = {m[0] for m in old.members(name)}
        yield from (f"struct {name}: {m[0]}" for m in new.members(name) if m[0] not in known)
    for name in sorted(set(old.enums) & set(new.enums)):
        yield from (f"enum {name}: {e}" for e in new.enums[name] if e not in old.enums[name])


def main(arguments):
    if len(arguments) not in (3, 4) or arguments[0] not in ("dump", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    if not shutil.which("abidw"):
        print("abidw is not there: tools/install-deps.sh check", file=sys.stderr)
        return 1 if os.environ.get("CI") else 77
    _, library, headers = arguments[:3]
    text = make_dump(library, headers)
    new = Abi(text, library)
    path = arguments[3] if len(arguments) == 4 else os.path.join(FOLDER, f"{new.soname}.abi")
    if arguments[0] == "dump":
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    if not os.path.exists(path):
        raise Failure(f"{path}: not there: a library of another SONAME needs a dump of its own (docs/releasing.md)")
    with open(path, encoding="utf-8") as file:
        old = Abi(file.read(), path)
    broken = list(compare(old, new))
    for line in broken:
        print(f"{library}: {line}", file=sys.stderr)
    if not broken:
        for line in additions(old, new):
            print(f"{library}: new since the last release: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failure, subprocess.CalledProcessError) as error:
        print(getattr(error, "stderr", None) or error, file=sys.stderr)
        sys.exit(1)
