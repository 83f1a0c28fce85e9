"""c_source.py -- the source text of C as tokens and functions, for the checks in this folder.

It reads what clang-format writes and what compiles; it does not preprocess. Both sides of an #if are
read, so each side must have balanced braces."""
import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<directive>(?<![^\n])[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])*)
  | (?P<string>(?:u8|[LuU])?"(?:\\.|[^"\\\n])*")
  | (?P<char>'(?:\\.|[^'\\\n])+')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<mark>->|::|\.\.\.|[^\s\w])
""", re.S | re.X)
# Words that stand before parentheses at file scope and do not name a function.
NO_NAME = {"__attribute__", "__typeof__", "_Alignas", "static_assert", "_Static_assert", "alignas"}

Token = collections.namedtuple("Token", "kind text line")
Function = collections.namedtuple(
    "Function", "name line lines params is_static is_definition in_header")


def tokens(text):
    """All tokens of a text, comments and directives too."""
    line, at = 1, 0
    for found in TOKEN.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        yield Token(found.lastgroup, found.group(), line)


def code(text):
    """The tokens without comments; what a #define stands for counts as code, other directives do not."""
    for token in tokens(text):
        if token.kind == "directive":
            define = re.match(r"[ \t]*#\s*define\s+\w+(.*)", token.text, re.S)
            if define:
                for inner in tokens(define.group(1)):
                    if inner.kind not in ("comment", "directive"):
                        yield Token("macro:" + inner.kind, inner.text, token.line)
        elif token.kind != "comment":
            yield token


def closing(items, at):
    """The index of the bracket that closes the one at `at`."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opening, depth = items[at].text, 0
    for i in range(at, len(items)):
        if items[i].text == opening:
            depth += 1
        elif items[i].text == pairs[opening]:
            depth -= 1
            if depth == 0:
                return i
    return len(items) - 1


def declarator(head):
    """The index of a function's name in the tokens before its body or semicolon, or None."""
    i = 0
    while i < len(head):
        if head[i].text in ("=", "typedef"):
            return None
        if head[i].text == "(":
            name = head[i - 1] if i else None
            if name and name.kind == "word" and name.text not in NO_NAME and i >= 2:
                return i - 1
            i = closing(head, i)
        elif head[i].text == "{":
            i = closing(head, i)
        i += 1
    return None


def parameter_count(head, name_at):
    end = closing(head, name_at + 1)
    inside = head[name_at + 2:end]
    if not inside or (len(inside) == 1 and inside[0].text == "void"):
        return 0
    depth, count = 0, 1
    for token in inside:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.text, 0)
        count += token.text == "," and depth == 0
    return count


def functions(text, is_header=False):
    """Declarations and definitions of functions at file scope, in order."""
    items = [t for t in code(text) if not t.kind.startswith("macro:")]
    start = i = 0
    while i < len(items):
        token = items[i]
        if token.text in ("(", "["):
            i = closing(items, i) + 1
            continue
        if token.text not in (";", "{"):
            i += 1
            continue
        head = items[start:i]
        if token.text == "{" and head and (head[0].text == "namespace" or
                                           [t.text for t in head[-2:]] == ["extern", '"C"']):
            start = i = i + 1
            continue
        end = closing(items, i) if token.text == "{" else i
        name_at = declarator(head)
        if name_at is not None:
            yield Function(head[name_at].text, head[0].line, items[end].line - head[0].line + 1,
                           parameter_count(head, name_at), any(t.text == "static" for t in head),
                           token.text == "{", is_header)
            end_of = end + 1
        elif token.text == "{":  # a struct, an enum or a table: up to its semicolon
            end_of = end + 1
            if end_of < len(items) and items[end_of].text != ";":
                i = end_of
                continue
        else:
            end_of = end + 1
        # A closing brace of extern "C" or a namespace stands alone.
        while end_of < len(items) and items[end_of].text in ("}", ";"):
            end_of += 1
        start = i = end_of
