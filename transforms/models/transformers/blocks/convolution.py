"""A convolution over the embeddings, which the first layer's output gets added."""

from __future__ import annotations

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays
from corpusvec.transforms.models.transformers.blocks.feed_forward import ACTIVATIONS
from corpusvec.transforms.models.transformers.blocks.surroundings import Surroundings


def convolved(config: Transformer, arrays: Arrays, embedded, x, around: Surroundings) -> tf.Tensor:
    """Layer 0 and the first layer's output, rows [B*T, H] -> rows [B*T, H]. Padding is zero to it,
    as what is beyond a text.
    """
    assert config.convolution is not None
    name, batch = "encoder/convolution", tf.shape(around["mask"])[0]
    windows = tf.reshape(embedded * around["tokens"], [batch, -1, config.hidden_size])
    found = tf.nn.conv1d(windows, arrays(f"{name}/kernel"), stride=1, padding="SAME")
    found = tf.nn.bias_add(tf.reshape(found, tf.shape(x)), arrays(f"{name}/bias"))
    return arrays.norm(x + ACTIVATIONS[config.convolution.activation](found), name, config.norm)
