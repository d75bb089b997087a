/* SPDX-License-Identifier: Apache-2.0
 * The activation functions of encoders, by the names that config.json has for them. */
#ifndef ESPI_KERNELS_ACTIVATE_H
#define ESPI_KERNELS_ACTIVATE_H

/* ROW(name, word of compiled files) */
#define ESPI_ACTIVATIONS(ROW)                                                                                          \
    ROW(GELU, "gelu")           /* exact: 0.5 x (1 + erf(x / sqrt 2)) */                                               \
    ROW(GELU_TANH, "gelu_tanh") /* gelu_new, gelu_pytorch_tanh, gelu_fast */                                           \
    ROW(RELU, "relu")                                                                                                  \
    ROW(SILU, "silu") /* silu, swish */                                                                                \
    ROW(TANH, "tanh")

enum espi_activation {
#define ESPI_ACTIVATION_(name, word) ESPI_##name,
    ESPI_ACTIVATIONS(ESPI_ACTIVATION_)
#undef ESPI_ACTIVATION_
};

#endif
