"""The notebook in docs/ runs from its first cell to its last, and shows a player and the target."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"


def read() -> nbformat.NotebookNode:
    return nbformat.read(DOCS / "first-sound.ipynb", as_version=4)


def test_it_is_kept_without_output():
    assert not [cell for cell in read().cells if cell.get("outputs") or cell.get("execution_count")]


# the kernel's own libraries warn of what is theirs
@pytest.mark.filterwarnings("ignore")
def test_it_runs(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    notebook = read()
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(DOCS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    players = [output for output in outputs if "<audio controls" in output.get("data", {}).get("text/html", "")]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert len(players) == 2
    assert "target (1, 512) embedding (1, 512)" in printed
    assert "['clip.wav', 'clip.wav.json']" in printed
