/* SPDX-License-Identifier: Apache-2.0
 * The activation functions of encoders, by the names that config.json has for them. */
#ifndef ESPI_KERNELS_ACTIVATE_H
#define ESPI_KERNELS_ACTIVATE_H

enum espi_activation {
    ESPI_GELU,      // exact: 0.5 x (1 + erf(x / sqrt 2))
    ESPI_GELU_TANH, // gelu_new, gelu_pytorch_tanh, gelu_fast
    ESPI_RELU,
    ESPI_SILU, // silu, swish
    ESPI_TANH,
};

#endif
