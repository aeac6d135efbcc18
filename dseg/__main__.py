"""`python -m dseg`: the command line without an installed script."""

import sys

from dseg.cli import main

sys.exit(main())
