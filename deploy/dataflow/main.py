"""What the flex template's launcher starts, in the image."""

import sys

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.runners.flex_templates import flags_of

if __name__ == "__main__":
    sys.exit(main(["embed", *flags_of(sys.argv[1:])]))
