"""`python -m sidecar.demo [--keep]`."""

import sys

from sidecar.demo.tour import main

sys.exit(main())
