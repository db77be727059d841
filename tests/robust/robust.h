/* robust.h - what the programs of tests/robust share: made-up inputs, time, bits of outputs. */
#ifndef INGOT_TESTS_ROBUST_H
#define INGOT_TESTS_ROBUST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/ingot.h"

/* A check that stays in release builds: where it fails, the line is told and the process ends by a signal, which no
 * harness takes for success. */
#define NEED(condition)                                                                                                \
    ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

/* Inputs of the largest model these programs are given; make_inputs() ends the process at one with more. */
enum { MAX_INPUTS = 16 };

/* Milliseconds of a clock that nobody sets. */
static inline double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* splitmix64: the next of a sequence that *state alone decides, so that a failure can be repeated. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Inputs of the declared shapes with free dimensions as given: floats from -1 to 1, other types as they are
 * allocated. Returns how many, or -1 where one cannot be made up: a sequence, strings, or an unknown rank. */
static inline int make_inputs(const ingot_model *model, int64_t free_size, uint64_t seed, ingot_tensor *inputs)
{
    const size_t n = ingot_model_n_inputs(model);
    NEED(n <= MAX_INPUTS);
    for (size_t i = 0; i < n; i++) {
        const ingot_value_info *info = ingot_model_input(model, i);
        ingot_tensor *t = &inputs[i];
        *t = (ingot_tensor){.dtype = info->dtype, .rank = info->rank};
        if (info->kind != INGOT_TENSOR || info->rank < 0 || info->dtype == INGOT_STRING)
            return -1;
        for (int d = 0; d < info->rank; d++)
            t->shape[d] = info->shape[d] < 0 ? free_size : info->shape[d];
        NEED(!ingot_tensor_alloc(t, NULL));
        for (int64_t k = 0; k < ingot_tensor_count(t) && t->dtype == INGOT_FLOAT; k++)
            ((float *)t->data)[k] = (float)(int32_t)next_random(&seed) * 0x1p-31f;
    }
    return (int)n;
}

/* The tensors that make_inputs() filled, n of them. */
static inline void free_inputs(ingot_tensor *inputs, int n)
{
    while (n > 0)
        ingot_tensor_free(&inputs[--n]);
}

/* FNV-1a over the bytes of all outputs that are plain tensors, strings left out. Equal hashes stand for equal bits. */
static inline uint64_t hash_outputs(const ingot_model *model, const ingot_session *session)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < ingot_model_n_outputs(model); i++) {
        const ingot_tensor *t = ingot_session_output(session, i);
        NEED(t);
        const size_t n = t->kind == INGOT_TENSOR ? (size_t)ingot_tensor_count(t) * ingot_dtype_size_bytes(t->dtype) : 0;
        for (size_t k = 0; k < n && t->dtype != INGOT_STRING; k++)
            hash = (hash ^ ((const uint8_t *)t->data)[k]) * 0x100000001b3u;
    }
    return hash;
}

#endif
