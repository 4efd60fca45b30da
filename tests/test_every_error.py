"""Every error that the library raises has a test that asks for its words.

A test asks for words in the `match` of a `raises`, or in an `assert`. The words may stand there, in a name that is set or
looped over in the same test, in a parameter of the test, or in the call of a helper that passes them on.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
Names = dict[str, list[str]]  # to the texts that a name can stand for
WORDS = 3  # in a row
HOLE = "\0"  # in a message, for a value


def texts(node: ast.AST, names: Names) -> list[str]:
    """The texts in an expression, and those of its names."""
    found: list[str] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.append(part.value)
        elif isinstance(part, ast.Name):
            found += names.get(part.id, [])
    return found


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def asked(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions that are compared with what was said."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "match":
            yield node.value
        elif isinstance(node, ast.Assert):
            yield node.test


def bindings(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Targets and values of assignments and loops."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value
        elif isinstance(node, ast.For | ast.comprehension):
            yield node.target, node.iter


def parametrized(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize":
            for name in re.findall(r"\w+", " ".join(texts(mark.args[0], {}))):
                yield name, mark.args[1]


def parameters(function: ast.FunctionDef) -> set[str]:
    return {each.arg for each in [*function.args.args, *function.args.kwonlyargs]}


def asked_for(source: str) -> list[str]:
    """The texts that the tests of one file ask for."""
    tree, module = ast.parse(source), dict[str, list[str]]()
    for node in tree.body:
        for target, value in bindings(node) if not isinstance(node, ast.FunctionDef | ast.ClassDef) else ():
            for name in names_in(target):
                module.setdefault(name, []).extend(texts(value, module))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    helpers = {f.name for f in functions if parameters(f) & {name for node in asked(f) for name in names_in(node)}}
    found: list[str] = []
    for function in functions:
        names = {name: list(values) for name, values in module.items()}
        for name, value in parametrized(function):
            names.setdefault(name, []).extend(texts(value, module))
        for target, value in bindings(function):
            for name in names_in(target):
                names.setdefault(name, []).extend(texts(value, names))
        for node in asked(function):
            found += texts(node, names)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in helpers:
                found += [
                    text for word in [*node.args, *(k.value for k in node.keywords)] for text in texts(word, names)
                ]
    return found


def message(node: ast.expr) -> str:
    """The text of an error, with a hole for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(message(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return message(node.left) + message(node.right)
    if isinstance(node, ast.IfExp):
        return message(node.body) + HOLE + message(node.orelse)
    return HOLE


def errors(path: Path) -> Iterator[tuple[int, str]]:
    """Line and message of every error of ours that a module raises."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name = ast.unparse(node.exc.func)
            if name.endswith("Error") and name != "AssertionError":  # what only we can cause
                yield node.lineno, message(node.exc.args[0])


def runs(text: str, n: int) -> set[str]:
    """`n` words in a row, as many as there are if no piece has so many, and none if a piece is one word at most."""
    pieces = [piece.split() for piece in re.split(rf"[;:,()\"{HOLE}]|\d", text)]
    n = min(n, max(map(len, pieces)))
    return {" ".join(words[i : i + n]) for words in pieces for i in range(len(words) - n + 1)} if n > 1 else set()


def test_every_error_has_a_test_of_its_words():
    """Three words in a row of the message, and two of its first half, which says what was found."""
    asks = [text for path in (ROOT / "tests").glob("*.py") for text in asked_for(path.read_text(encoding="utf-8"))]
    plain = "\n".join(re.sub(r"\\(.)", r"\1", text) for text in asks)
    n, untested = 0, []
    for path in sorted((ROOT / "src" / "echoframe").rglob("*.py")):
        for line, text in errors(path):
            n += 1
            wanted = [runs(text, WORDS), runs(text.partition(";")[0], 2)]
            if any(some and not any(run in plain for run in some) for some in wanted):
                untested.append(f"{path.name}:{line}: {text.replace(HOLE, '{}')}")
    assert n > 400
    assert not untested, "\n".join(untested)


def test_words_count_where_a_test_asks_for_them_only():
    source = '''
"""the file is gone for good"""
KNOWN = ["the disk is full now"]

@pytest.mark.parametrize(("kind", "words"), [("a name of it", "no such file there")])
def test_one(kind, words, capsys):
    """a docstring of three words"""
    print("something else was said")
    expected = "it was set before"
    with pytest.raises(Error, match=rf"{kind}: {words}"):
        make("what it is given")
    assert "it was printed here" in capsys.readouterr().err
    assert expected in KNOWN
    for a, b in [("first of them all", 1)]:
        refused(a)

def refused(text):
    with pytest.raises(Error, match=text):
        make()
'''
    found = asked_for(source)
    for text in (
        "the disk is full now",
        "a name of it",
        "no such file there",
        "it was set before",
        "first of them all",
    ):
        assert text in found
    assert "it was printed here" in found
    for text in (
        "the file is gone for good",
        "a docstring of three words",
        "something else was said",
        "what it is given",
    ):
        assert text not in found
