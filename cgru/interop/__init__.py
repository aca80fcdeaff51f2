"""Convert models between cgru and PyTorch, Keras and ONNX, with the same weights and outputs.

A `from_` function returns a `cgru.Network`, with `predict(X, lengths=None, h0=None)` and `save`: X is (m, s, e), h0
(layers x directions, m, u). From a bare GRU `predict` gives all states of the last layer, (m, s, directions x u); with
`return_state=True` the last states too.

A converted model gives the numbers of the original, or the conversion is refused with the reason and the name and place
of the layer or node. Refused are: layers before, between or behind the GRUs that are not in the table below;
parametrizations; and layers that compute in another dtype than that of their weights. From Keras subclasses of the
known classes, and methods replaced on one object, are refused too.

All three compute h = z h + (1 - z) n, as this package does. Their layouts of the weights for e features and u units:

| | gates | input weights | recurrent weights | biases | reset gate |
| --- | --- | --- | --- | --- | --- |
| here | each apart | U (e, u) | V (u, u) | b (1, u), and c (1, u) of hh | before, or after with `chh` |
| PyTorch | r, z, n | (3u, e) | (3u, u) | two (3u,) | after |
| Keras | z, r, h | (e, 3u) | (u, 3u) | (2, 3u) | after |
| Keras | z, r, h | (e, 3u) | (u, 3u) | (3u,) | before |
| ONNX | z, r, h | (D, 3u, e) | (D, 3u, u) | (D, 6u), the input's and then the state's | either |

With two biases and one of ours: from there it is their sum, to there they are (ours, 0). The candidate state with the
reset gate after the product keeps both, bhh and chh.

What is converted beside the weights, and which options must be off or alike for an export:

| here | PyTorch | Keras | ONNX |
| --- | --- | --- | --- |
| activations of a GRU | tanh, sigmoid | ours (lrelu is leaky_relu) | the compiled ones (identity is Affine(1, 0)) |
| `activate_update`, `activate_reset` | one | one | one |
| `Bidirectional` | concat | concat, sum, mean (ave), mul | all, as nodes behind; from foreign graphs concat |
| `reverse` alone | no | go_backwards, with a `Flip` where all states come out | reverse |
| `dropout` of a GRU (one mask a sequence) | no | dropout | not in the graph |
| `recurrent_dropout` | no | recurrent_dropout | not in the graph |
| `Dropout` | between the layers, from there anywhere | Dropout, from there SpatialDropout1D | not in the graph |
| `zoneout` | no | no | no |
| `learn_h0` | from there, a parameter expanded to the samples | no | initial_h, not with `states` |
| `stateful` | no | from there only, with its states | no |
| masks handed in for `dropout`, ... | no | no | not in the graph |
| `trainable` | `requires_grad` of all its parameters | trainable | from here and back |
| `lengths` | packed sequences | masks, also of Masking and mask_zero | sequence_lens |
| `Embedding`, `Dense` | from there | yes, without a softmax temperature | yes |
| `Pool` | from there, alone | "mean" and "max", alone | yes; from foreign graphs alone |
| a fixed number of steps side by side | from there: flatten | from there: Flatten | from there: Reshape |
| `Activation` | from there | yes | yes |
| `LayerNorm` | from there | yes | yes |
| `Conv1D` | no | yes, with a padding by name | yes, as Conv |
| `Frames` with a `Dense` | from there: Conv1d, unfold | Flatten, from there | yes; from foreign graphs Conv |
| `Concatenate`, `Add`, `Multiply`, `Select` | from there | yes, from there models with several inputs | yes |
| `Scale` | from there, and BatchNorm1d in `eval` | from there: BatchNormalization, Average, Subtract | yes |
| `Clip` | from there | no | yes |
| standardisation | no | no | yes, from here (from foreign graphs as `Scale`) |

Layers that are normalised (`layer_norm`) stay here. Keras draws masks of `dropout` for each gate where there is
`recurrent_dropout` too; here there is one for all three. `clip_gradients`, `initialization`, the optimizer and, but for
ONNX, the loss and `class_names` stay here; regularizers, constraints and seeds stay there.
"""

from cgru.interop.keras_models import from_keras, to_keras
from cgru.interop.onnx_export import to_onnx
from cgru.interop.onnx_import import from_onnx
from cgru.interop.torch_models import from_torch, to_torch

__all__ = ["from_keras", "from_onnx", "from_torch", "to_keras", "to_onnx", "to_torch"]
