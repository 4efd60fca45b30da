"""`python -m echoframe`."""

import sys

from echoframe.apps.cli import main

sys.exit(main())
