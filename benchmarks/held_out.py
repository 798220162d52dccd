"""Labelled examples that other scanners test themselves with, read from clones that the user has, and what our scan finds of them.

Known clones: gitleaks, detect-secrets, secretlint and trufflehog. Nothing of them is run, and none of their text is in this repository.
"""

from __future__ import annotations

import ast
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.golang import Source, Value, texts
from sidecar.adapters.secrets import find

MIN_PART = 8
"""Characters of a secret that must be found for it to count as found in part."""

CLAIMED: dict[str, tuple[str, ...]] = {
    "age": ("gitleaks/age-*",),
    "anthropic": ("*/anthropic*",),
    "assigned": ("gitleaks/generic-api-key", "detect-secrets/keyword"),
    "aws": ("detect-secrets/aws_key", "gitleaks/aws-access-token", "secretlint/aws", "trufflehog/aws/*_keys*"),
    "azure-storage": ("detect-secrets/azure_storage_key", "trufflehog/azure_storage"),
    "basic-auth": ("detect-secrets/basic_auth", "secretlint/basicauth", "secretlint/database-connection-string", "trufflehog/uri"),
    "digitalocean": ("gitleaks/digitalocean-*", "trufflehog/digitaloceanv2"),
    "discord": ("detect-secrets/discord", "gitleaks/discord-api-token", "trufflehog/discordbottoken"),
    "github": ("detect-secrets/github_token", "gitleaks/github-*", "secretlint/github", "trufflehog/github/*"),
    "gitlab": ("detect-secrets/gitlab_token", "gitleaks/gitlab-*", "secretlint/gitlab", "trufflehog/gitlab/*"),
    "google": ("gitleaks/gcp-api-key", "secretlint/gcp", "trufflehog/gcp", "trufflehog/googlegemini", "trufflehog/googleoauth2"),
    "groq": ("secretlint/groq", "trufflehog/groq"),
    "hugging-face": ("*/huggingface*",),
    "jwt": ("detect-secrets/jwt", "gitleaks/jwt", "trufflehog/jwt"),
    "linear": ("gitleaks/linear-api-key", "secretlint/linear", "trufflehog/linearapi"),
    "mailchimp": ("*/mailchimp*",),
    "notion": ("*/notion*",),
    "npm": ("*/npm*",),
    "openai": ("*/openai*",),
    "openrouter": ("*/openrouter",),
    "perplexity": ("*/perplexity*",),
    "private-key": ("detect-secrets/private_key", "gitleaks/private-key", "secretlint/privatekey", "trufflehog/privatekey"),
    "pypi": ("detect-secrets/pypi_token", "gitleaks/pypi-*", "trufflehog/pypi"),
    "sendgrid": ("*/sendgrid*",),
    "slack": ("*/slack*",),
    "square": ("detect-secrets/square_oauth", "gitleaks/square-*", "trufflehog/square", "trufflehog/squareapp"),
    "stripe": ("detect-secrets/stripe_key", "gitleaks/stripe-*", "secretlint/stripe", "trufflehog/stripe"),
    "telegram": ("*/telegram*",),
    "twilio": ("*/twilio*",),
    "xai": ("*/xai",),
}
"""What docs/secrets.md says is found, and what the others call it."""
NOT_VALUES = ("example", "filter-comments", "internal-*", "no-*", "pattern", "preset-*")
"""Rules of secretlint that are about something else than one value, or stand for others."""


@dataclass(frozen=True)
class Example:
    kind: str
    """Whose, and what they call it."""

    text: str
    values: tuple[str, ...]
    """The secrets in it where they are named; else it is one, somewhere."""

    secret: bool


def examples(clone: Path, skipped: Counter[str]) -> Iterator[Example]:
    """Everything in a clone that says of a text whether there is a secret in it. `skipped` counts what could not be read."""
    readers = {
        "tests/plugins": _detect_secrets,
        "cmd/generate/config/rules": _gitleaks,
        "packages/@secretlint": _secretlint,
        "pkg/detectors": _trufflehog,
    }
    known = [reader(clone / folder, skipped) for folder, reader in readers.items() if (clone / folder).is_dir()]
    if not known:
        raise SystemExit(f"{clone} is no clone of gitleaks, detect-secrets, secretlint or trufflehog.")
    for reader in known:
        yield from reader


def measure(clones: list[Path]) -> None:
    """Prints recall by kind and over all kinds, and alarms where there is no secret."""
    skipped: Counter[str] = Counter()
    every = list(dict.fromkeys(example for clone in clones for example in examples(clone, skipped)))
    for source in sorted({_source(example) for example in every}):
        known = [example for example in every if _source(example) == source]
        print(f"{source}: {sum(e.secret for e in known)} with a secret, {sum(not e.secret for e in known)} without, {skipped[source]} not readable")
    print(f"\n{'kinds that are sought':<22}{'found':>7}{'in part':>9}{'of':>7}")
    results = {example: _found(example) for example in every}
    missed: dict[str, Counter[str]] = defaultdict(Counter)
    sum_found = sum_known = 0
    for ours, theirs in CLAIMED.items():
        known = [e for e in every if e.secret and any(fnmatch(e.kind, pattern) for pattern in theirs)]
        whole, part = (sum(results[e] == how for e in known) for how in ("whole", "part"))
        print(f"{ours:<22}{whole:>7}{part:>9}{len(known):>7}")
        missed[ours].update(e.kind for e in known if not results[e])
        if ours != "assigned":
            sum_found, sum_known = sum_found + whole + part, sum_known + len(known)
    print(f"with a form of their own: {sum_found} of {sum_known} ({sum_found / max(1, sum_known):.1%})")
    print("missed:", {ours: dict(kinds) for ours, kinds in missed.items() if kinds})
    secrets = [example for example in every if example.secret]
    print(f"\nevery kind, sought or not: {_rate(sum(bool(results[e]) for e in secrets), len(secrets))}, by source:")
    for source in sorted({_source(example) for example in every}):
        known = [example for example in secrets if _source(example) == source]
        kinds: dict[str, list[bool]] = defaultdict(list)
        for example in known:
            kinds[example.kind].append(bool(results[example]))
        print(
            f"  {source}: {_rate(sum(bool(results[e]) for e in known), len(known))}; all of {sum(map(all, kinds.values()))} and some of {sum(map(any, kinds.values()))} of {len(kinds)} kinds"
        )
    print("\nalarms where they say that there is none of the kind they test:")
    for source in sorted({_source(example) for example in every}):
        known = [example for example in every if not example.secret and _source(example) == source]
        alarms = Counter((example.kind, rule) for example in known for rule in {rule for *_, rule in find(example.text)})
        print(
            f"  {source}: {sum(bool(find(e.text)) for e in known)} of {len(known)}",
            {f"{kind} as {rule}": count for (kind, rule), count in sorted(alarms.items())},
        )


def _source(example: Example) -> str:
    return example.kind.partition("/")[0]


def _rate(found: int, known: int) -> str:
    return f"{found} of {known} ({found / max(1, known):.1%})"


def _found(example: Example) -> str:
    """Whether all that is named was found: "whole", in "part", or not at all ("")."""
    finds = [example.text[start:end] for start, end, _ in find(example.text)]
    if not example.values:
        return "whole" if finds else ""
    hows = {_how(value, example.text, finds) for value in example.values}
    return "" if "" in hows else "part" if "part" in hows else "whole"


def _how(value: str, text: str, finds: list[str]) -> str:
    """Some name what does not stand in the text so, but in pieces: a key's name and the key, or an object with both."""
    if any(value in found for found in finds):
        return "whole"
    pieces = [value] if value in text else [piece for piece in re.split(r"[^\w+/=.~-]+", value) if len(piece) >= MIN_PART]
    return "part" if any(piece in found or (len(found) >= MIN_PART and found in piece) for piece in pieces for found in finds) else ""


def _gitleaks(folder: Path, skipped: Counter[str]) -> Iterator[Example]:
    """Its rules say what they must find and what not, much of it as a form to be filled by chance."""
    chance = random.Random(1)
    generator = Source((folder.parent / "utils" / "generate.go").read_text(encoding="utf-8"))
    for _ in generator.walk():
        pass
    templates = [text for text in texts(generator.names.get("samples")) if text]
    secrets: dict[str, str] = {}

    def samples(name: Value = None, secret: Value = None) -> Value:
        if not isinstance(name, str) or not isinstance(secret, str):
            return [(None, None)]
        filled = [text.replace("{i}", name).replace("{I}", name.upper()).replace("{s}", secret) for text in templates]
        secrets.update(dict.fromkeys(filled, secret))
        return [(None, text) for text in filled]

    def sample(name: Value = None, secret: Value = None) -> Value:
        if not isinstance(name, str) or not isinstance(secret, str):
            return None
        text = f'{name}_api_token = "{secret}"'
        secrets[text] = secret
        return text

    calls = {
        "utils.GenerateSampleSecrets": samples,
        "utils.GenerateSampleSecret": sample,
        "secrets.NewSecret": lambda pattern=None: _made(pattern, chance),
        "utils.Hex8_4_4_4_12": lambda: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    }
    classes = {"Numeric": "0-9", "Hex": "a-f0-9", "AlphaNumeric": "a-z0-9", "AlphaNumericExtendedShort": "a-z0-9_-"}
    classes |= {"AlphaNumericExtended": r"a-z0-9=_\-", "AlphaNumericExtendedLong": r"a-z0-9\/=_\+\-"}
    for name, letters in classes.items():
        calls[f"utils.{name}"] = lambda size=None, letters=letters: f"[{letters}]{{{size}}}"
    for path in sorted(folder.glob("*.go")):
        source, kind = Source(path.read_text(encoding="utf-8"), calls), ""
        for token in source.walk():
            if token == "RuleID":
                kind = str(ast.literal_eval(source.tokens[source.at + 1]))
            elif token in ("utils.Validate", "utils.ValidateWithPaths"):
                source.at += 1
                given = [value for _, value in source.items(")")]
                for secret, value in zip((True, False), given[1:3], strict=False):
                    for text in texts(value):
                        if text is None:
                            skipped["gitleaks"] += 1
                        else:
                            yield Example(f"gitleaks/{kind}", text, (secrets[text],) if secret and text in secrets else (), secret)
            elif token == "func":
                source.names.clear()


def _made(pattern: Value, chance: random.Random) -> Value:
    """A text of the form that a regular expression describes."""
    from re import _parser  # type: ignore[attr-defined]  # the standard library's own, there is no public one

    if not isinstance(pattern, str):
        return None

    def one(nodes: Iterable[tuple[object, object]]) -> str:
        return "".join(made(str(kind), given) for kind, given in nodes)

    def made(kind: str, given: object) -> str:
        match kind, given:
            case "LITERAL", int(code):
                return chr(code)
            case "MAX_REPEAT" | "MIN_REPEAT", (int(low), high, nodes):
                most = min(int(str(high)) if str(high).isdigit() else low + 8, low + 8)
                return "".join(one(nodes) for _ in range(chance.randint(low, most)))
            case "SUBPATTERN", (*_, nodes):
                return one(nodes)
            case "BRANCH", (_, choices):
                return one(chance.choice(choices))
            case "IN", members:
                return chance.choice([char for char in map(chr, range(33, 127)) if _in(char, members)])
            case "AT", _:
                return ""
        raise ValueError(kind)

    try:
        return one(_parser.parse(pattern))
    except (ValueError, re.error):
        return None


def _in(char: str, members: Iterable[tuple[object, object]]) -> bool:
    for kind, given in members:
        match str(kind), given:
            case "LITERAL", code if code == ord(char):
                return True
            case "RANGE", (low, high) if low <= ord(char) <= high:
                return True
            case "CATEGORY", category:
                if (str(category).endswith("WORD") and (char.isalnum() or char == "_")) or (str(category).endswith("DIGIT") and char.isdigit()):
                    return True
    return False


def _trufflehog(folder: Path, skipped: Counter[str]) -> Iterator[Example]:
    """Tables of tests with an input and what is wanted. Of those that want nothing, the ones that are called invalid."""
    for path in sorted(folder.glob("*/**/*_test.go")):
        if path.name.endswith("integration_test.go"):
            continue
        kind = f"trufflehog/{path.parent.relative_to(folder)}"
        source = Source(path.read_text(encoding="utf-8"))
        for _ in source.walk():
            pass
        for case in source.literals:
            if "input" not in case or not {"want", "wantSecrets"} & case.keys():
                continue
            text, wanted = case["input"], texts(case.get("want"))
            if not isinstance(text, str) or None in wanted:
                skipped["trufflehog"] += 1
            elif wanted:
                yield Example(kind, text, tuple(value for value in wanted if value), True)
            elif "invalid" in str(case.get("name")).lower():
                yield Example(kind, text, (), False)


def _secretlint(folder: Path, skipped: Counter[str]) -> Iterator[Example]:
    """A folder for each test, with an input and the places that the rule reports in it."""
    for rule in sorted(folder.glob("secretlint-rule-*")):
        kind = rule.name.removeprefix("secretlint-rule-")
        if any(fnmatch(kind, pattern) for pattern in NOT_VALUES):
            continue
        for output in sorted(rule.glob("test/snapshots/*/output.json")):
            try:
                found = json.loads(output.read_text(encoding="utf-8"))
                text = found["sourceContent"]
                values = tuple(text[slice(*message["range"])] for message in found["messages"])
            except (ValueError, KeyError, TypeError):
                skipped["secretlint"] += 1
                continue
            if values or output.parent.name.startswith("ok."):
                yield Example(f"secretlint/{kind}", text, values, bool(values))


def _detect_secrets(folder: Path, skipped: Counter[str]) -> Iterator[Example]:
    """Parametrized tests: pairs of a line and what is expected of it, or lines of which the test says that each is found."""
    for path in sorted(folder.glob("*_test.py")):
        kind = f"detect-secrets/{path.stem.removesuffix('_test')}"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names: dict[str, object] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names[node.targets[0].id] = _literal(node.value, names)
        if path.stem == "keyword_test":
            yield from (_line(kind, row) for cases in names.values() if isinstance(cases, list) for row in cases if _is_pair(row))
            continue
        for test in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            rows = [row for mark in test.decorator_list if "parametrize" in ast.unparse(mark) for row in _rows(mark, names)]
            for row in rows:
                if isinstance(row, str) and "not " not in ast.unparse(test):
                    yield Example(kind, row, (), True)
                elif _is_pair(row):
                    yield _line(kind, row)
                else:
                    skipped["detect-secrets"] += 1


def _is_pair(row: object) -> bool:
    return isinstance(row, tuple) and len(row) >= 2 and isinstance(row[0], str) and isinstance(row[1], (bool, str, type(None)))


def _line(kind: str, row: tuple[str, bool | str | None]) -> Example:
    return Example(kind, row[0], (row[1],) if isinstance(row[1], str) else (), bool(row[1]))


def _rows(mark: ast.expr, names: dict[str, object]) -> list[object]:
    given = mark.args[1] if isinstance(mark, ast.Call) and len(mark.args) > 1 else None
    return [_literal(row, names) for row in given.elts] if isinstance(given, ast.List | ast.Tuple) else []


def _literal(node: ast.expr, names: dict[str, object]) -> object:
    """The value of a literal, with names, `+`, slices and `str.format` of literals; `...` for anything else."""
    match node:
        case ast.Name(id=name):
            return names.get(name, ...)
        case ast.List(elts=items):
            return [_literal(item, names) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_literal(item, names) for item in items)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            values = (_literal(left, names), _literal(right, names))
            return values[0] + values[1] if isinstance(values[0], str) and isinstance(values[1], str) else ...
        case ast.Subscript(value=value, slice=ast.Slice(lower=ast.Constant() | None, upper=ast.Constant() | None, step=None) as cut):
            text = _literal(value, names)
            low, high = (part.value if isinstance(part, ast.Constant) else None for part in (cut.lower, cut.upper))
            return text[low:high] if isinstance(text, str) else ...
        case ast.Call(func=ast.Attribute(value=value, attr="format"), args=args, keywords=named):
            form, given = _literal(value, names), [_literal(arg, names) for arg in args]
            called = {str(arg.arg): _literal(arg.value, names) for arg in named}
            plain = isinstance(form, str) and all(isinstance(item, str) for item in (*given, *called.values()))
            return str(form).format(*given, **called) if plain else ...
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return ...
