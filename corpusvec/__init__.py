"""Token and sentence vectors of texts: the door for programs in Python."""

from corpusvec.pipeline import __version__ as __version__
