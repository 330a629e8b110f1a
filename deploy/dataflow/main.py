"""What the flex template's launcher starts, in the image."""

import sys

from pipeline.runners.flex_templates import launch

if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
