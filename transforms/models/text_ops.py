"""tensorflow-text, which has the ops of tokenizers inside of models. It is optional."""

from __future__ import annotations

import importlib


def install_text() -> str:
    """The command that installs the tensorflow-text that is made for this TensorFlow."""
    from corpusvec.transforms.models.hardware import tf

    major, minor, *_ = tf.__version__.split(".")
    return f"pip install 'tensorflow-text=={major}.{minor}.*'"


def import_text() -> str:
    """Why tensorflow-text cannot be imported; empty where it can."""
    try:
        importlib.import_module("tensorflow_text")
    except ImportError:
        return "it is not installed"
    except Exception as error:  # TensorFlow's own, where it was built for another version of it
        return str(error).splitlines()[0]
    return ""
