"""Makes synonyms.txt.gz from the tables of WordNet 3.0 that meteor-1.5.jar carries: python3 make.py meteor-1.5.jar"""

import collections
import gzip
import pathlib
import sys
import zipfile

# METEOR's tokens hold neither.
UNREACHABLE = ("_", "/")


def pairs(jar: zipfile.ZipFile, name: str):
    """Lines by two: a word, and what the table has for it."""
    lines = jar.read(f"synonym/english.{name}").decode("utf-8").split("\n")
    return [(word, entry.split()) for word, entry in zip(lines[::2], lines[1::2])]


def reachable(word: str) -> bool:
    return not any(mark in word for mark in UNREACHABLE)


def main(path: str) -> None:
    with zipfile.ZipFile(path) as jar:
        offsets = {word: set(entry) for word, entry in pairs(jar, "synsets") if reachable(word)}
        bases = {base: [form for form in forms if reachable(form)] for base, forms in pairs(jar, "exceptions")}
    synsets = collections.defaultdict(list)
    for word in sorted(offsets):
        for offset in offsets[word]:
            synsets[offset].append(word)
    # A set of one word says only that the word is known, and a word of larger sets is known from them.
    shared = {" ".join(words) for words in synsets.values() if len(words) > 1}
    known = {word for line in shared for word in line.split()}
    alone = set(offsets) - known
    irregular = [" ".join([base, *forms]) for base, forms in sorted(bases.items()) if reachable(base) and forms]
    text = "\n".join([*sorted(shared | alone), "", *irregular, ""])
    target = pathlib.Path(__file__).with_name("synonyms.txt.gz")
    target.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))
    print(f"{len(shared)} sets, {len(alone)} more words, {len(irregular)} irregular words: {target.stat().st_size} bytes")


main(*sys.argv[1:])
