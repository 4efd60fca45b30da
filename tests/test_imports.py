"""The house rules that a machine can check: imports go down, the library neither prints nor patches paths."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "echoframe"
LEVELS = {
    "errors": 0,
    "config": 1,
    "options": 1,
    "progress": 1,
    "spec": 1,
    "device": 2,
    "flow": 2,
    "lock": 2,
    "media": 2,
    "optional": 2,
    "output": 2,
    "pretrained": 2,
    "weights": 2,
    "bundles": 3,
    "encoders": 3,
    "generators": 3,
    "mappers": 3,
    "timing": 3,
    "windows": 3,
    "data": 4,
    "evaluation": 4,
    "loading": 4,
    "pipeline": 4,
    "provenance": 4,
    "sound": 4,
    "jobs": 5,
    "library": 5,
    "rating": 5,
    "studio": 5,
    "training": 5,
    "apps": 6,
}
MODULES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Rooms that the module at `path` imports anywhere, types and functions' bodies included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "echoframe":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("echoframe.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_go_down_only(path):
    if path.parent == SOURCE and path.stem in ("__init__", "__main__"):
        return  # the front doors
    level = LEVELS[room(path)]
    above = {name for name in imports(path) if LEVELS[name] > level}
    assert not above, f"{room(path)} (level {level}) imports {above}"


def test_a_newcomer_finds_thirty_one_rooms_at_most():
    assert len({room(path) for path in MODULES} - {"__init__", "__main__"}) <= 31


def test_rooms_of_one_level_do_not_import_each_other_in_a_circle():
    graph = {name: set[str]() for name in LEVELS}
    for path in MODULES:
        if room(path) in LEVELS:
            graph[room(path)] |= imports(path) - {room(path)}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs <= done}
        assert free, f"a circle among {sorted(set(graph) - done)}"
        done |= free


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_the_library_neither_prints_nor_exits_nor_patches_paths(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    forbidden = {"torch.manual_seed", "np.random.seed", "random.seed", "torch.set_num_threads", "sys.path.insert"}
    if room(path) not in ("apps", "__main__"):
        forbidden |= {"print", "sys.exit", "exit", "logging.basicConfig"}
    assert not called & forbidden
    assert "sys.path" not in ast.unparse(tree)


def test_pickles_are_read_with_weights_only():
    loads = [
        ast.unparse(node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("torch.load", "pickle.load", "pickle.loads", "np.load")
    ]
    assert loads  # the converters'
    assert all("weights_only=True" in load for load in loads)


@pytest.mark.parametrize("code", ["import echoframe", "import echoframe; echoframe.ClipSpec()"])
def test_importing_loads_no_torch(code):
    check = f"{code}; import sys; sys.exit(1 if 'torch' in sys.modules else 0)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_public_names_are_there():
    import echoframe

    for name in echoframe.__all__:
        assert getattr(echoframe, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'; it has AudioError, BundleError"):
        _ = echoframe.lod  # type: ignore[attr-defined]
