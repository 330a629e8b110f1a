"""The half of a layer that looks at each token alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from corpusvec.transforms.architectures import FeedForward
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays

ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    # Not TensorFlow's own, which brings functions for its gradient that no SavedModel keeps.
    "silu": lambda x: x * tf.sigmoid(x),
    "tanh": tf.nn.tanh,
    "linear": tf.identity,
}


def feed_forward(config: FeedForward, name: str, arrays: Arrays, x) -> tf.Tensor:
    """Rows [B*T, H] -> rows [B*T, H]."""
    activate = ACTIVATIONS[config.activation]
    inner = arrays.dense(x, f"{name}/intermediate/dense")
    if config.gated:  # two products: to split one costs more than the second call
        inner *= activate(arrays.dense(x, f"{name}/intermediate/gate"))
    else:
        inner = activate(inner)
    return arrays.dropped(arrays.dense(inner, f"{name}/output/dense"))
