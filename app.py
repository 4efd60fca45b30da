"""The studio as a hosted Gradio space runs it: `python app.py`. On your own machine, `echoframe web` is the command."""

import os
import sys
from pathlib import Path

# a space installs what requirements.txt names, and not its own files
sys.path.insert(0, str(Path(__file__).parent / "src"))

from echoframe.apps.cli import main  # noqa: E402

if __name__ == "__main__":
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    sys.exit(main(["web", "--host", "0.0.0.0", "--port", port, "--max-duration", "60", "--max-upload", "50"]))
