"""Operations that a pt2 file may name: numbers from numbers, nothing else touched.

``torch.ops.aten`` also holds operations that open and write files, which is why there is a list. A network that needs
another one is told its name when it is exported. One runnable line: ``python -c "from seglab.export.numeric import
NUMERIC; print(len(NUMERIC))"``.
"""

from __future__ import annotations

# fmt: off
NUMERIC = frozenset([
    "_adaptive_avg_pool2d", "_assert_scalar", "_assert_tensor_metadata", "_native_batch_norm_legit_no_training",
    "_softmax", "_to_copy", "abs", "adaptive_avg_pool2d", "adaptive_max_pool2d", "add", "add_", "addcmul", "alias",
    "amax", "amin", "arange", "argmax", "argmin", "avg_pool2d", "batch_norm", "bitwise_and", "bitwise_not", "bmm",
    "cat", "ceil", "celu", "chunk", "clamp", "clamp_", "clamp_max", "clamp_max_", "clamp_min", "clamp_min_",
    "clone", "constant_pad_nd", "contiguous", "conv1d", "conv2d", "conv_transpose2d", "convolution", "cos",
    "cumsum", "detach", "detach_", "div", "div_", "dropout", "dropout_", "einsum", "elu", "elu_", "empty_like",
    "eq", "exp", "exp_", "expand", "expand_as", "eye", "feature_dropout", "fill_", "flatten", "flip", "floor",
    "floor_divide", "full", "full_like", "gather", "ge", "gelu", "glu", "group_norm", "gt", "hardsigmoid",
    "hardsigmoid_", "hardswish", "hardswish_", "hardtanh", "hardtanh_", "index", "index_select", "instance_norm",
    "isfinite", "layer_norm", "le", "leaky_relu", "leaky_relu_", "linalg_vector_norm", "linear", "log",
    "log_softmax", "logical_and", "logical_not", "logical_or", "logsumexp", "lt", "masked_fill", "matmul", "max",
    "max_pool2d", "max_pool2d_with_indices", "maximum", "mean", "min", "minimum", "mish", "mm", "mul", "mul_",
    "narrow", "native_group_norm", "native_layer_norm", "ne", "neg", "new_full", "new_ones", "new_zeros", "norm",
    "ones", "ones_like", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "pow", "prelu", "reciprocal",
    "reflection_pad2d", "relu", "relu6", "relu6_", "relu_", "remainder", "repeat", "replication_pad2d", "reshape",
    "roll", "round", "rsqrt", "rsub", "scalar_tensor", "scaled_dot_product_attention", "select", "selu", "sigmoid",
    "sigmoid_", "sign", "silu", "silu_", "sin", "slice", "softmax", "softplus", "split", "split_with_sizes", "sqrt",
    "square", "squeeze", "stack", "std", "sub", "sub_", "sum", "sym_size", "t", "tanh", "tanh_", "to", "topk",
    "transpose", "true_divide", "type_as", "unbind", "unflatten", "unsqueeze", "upsample_bicubic2d",
    "upsample_bilinear2d", "upsample_nearest2d", "upsample_nearest_exact2d", "var", "var_mean", "view", "where",
    "zeros", "zeros_like",
])
# fmt: on
"""Names below ``torch.ops.aten``."""
