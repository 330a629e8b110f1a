"""The program: flags, a checked configuration, the graph, the run and its report."""

__version__ = "0.1.0"
