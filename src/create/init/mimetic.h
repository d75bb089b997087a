/* SPDX-License-Identifier: Apache-2.0
 * Random weights whose attention begins as that of pre-trained encoders is: half of the heads look for equal words, half
 * for neighbours (Clark et al., "What does BERT look at?", 2019; Trockman and Kolter, "Mimetic initialization of
 * self-attention layers", 2023), and positions are sinusoids (Vaswani et al., "Attention is all you need", 2017). Trained
 * from scratch on a small corpus, a model finds the words of a question in a passage within hundreds of steps so, and
 * hardly at all from plain random weights. */
#ifndef ESPI_CREATE_MIMETIC_H
#define ESPI_CREATE_MIMETIC_H

#include "model/params.h"

/* The initializer_range that belongs to it, for `hidden` channels; the 0.02 of large models is too little for small ones. */
float espi_mimetic_range(size_t hidden);

/* Changes weights that espi_params_randomize made, with that range: word and position embeddings, queries and keys. */
void espi_params_mimetic(const struct espi_params *params, const struct espi_config *config);

#endif
