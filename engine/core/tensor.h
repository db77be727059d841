/* tensor.h - element types and tensors, as everything inside uses them. */
#ifndef INGOT_CORE_TENSOR_H
#define INGOT_CORE_TENSOR_H

#include "engine/core/memory.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Sets of element types: INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE). */
#define INGOT_TYPE(name) (UINT64_C(1) << INGOT_##name)
#define INGOT_TYPES_FLOAT (INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16))
#define INGOT_TYPES_SIGNED (INGOT_TYPE(INT8) | INGOT_TYPE(INT16) | INGOT_TYPE(INT32) | INGOT_TYPE(INT64))
#define INGOT_TYPES_UNSIGNED (INGOT_TYPE(UINT8) | INGOT_TYPE(UINT16) | INGOT_TYPE(UINT32) | INGOT_TYPE(UINT64))
#define INGOT_TYPES_INTEGER (INGOT_TYPES_SIGNED | INGOT_TYPES_UNSIGNED)
#define INGOT_TYPES_NUMERIC (INGOT_TYPES_INTEGER | INGOT_TYPES_FLOAT)
#define INGOT_TYPES_INDEX (INGOT_TYPE(INT32) | INGOT_TYPE(INT64))
#define INGOT_TYPES_ALL (((UINT64_C(1) << INGOT_N_DTYPES) - 1) & ~UINT64_C(1))

/* Memory order of a tensor's elements. BLOCKED is NCHW8c: (N, C, spatial...) kept as (N, ceil(C/8), spatial..., 8);
 * the lanes past C hold finite values that nobody may rely on. float, uint8 and int8 only, rank 3 to 5. */
enum { INGOT_PLAIN = 0, INGOT_BLOCKED = 1, INGOT_BLOCK = 8 };

/* Elements in logical order (shape product), and bytes of storage in the tensor's layout. */
int64_t ingot_count(const ingot_tensor *tensor);
size_t ingot_storage_bytes(const ingot_tensor *tensor);

/* As ingot_count and bytes of row-major storage, but with overflow checks for shapes from files: false when a dimension
 * is negative, the rank is out of range, or the size does not fit ptrdiff_t. Either result may be NULL. */
bool ingot_checked_size(const ingot_tensor *tensor, int64_t *count, size_t *size_bytes);

bool ingot_same_shape(const ingot_tensor *a, const ingot_tensor *b);

/* Product of shape[begin..end). */
int64_t ingot_span(const ingot_tensor *tensor, int begin, int end);

/* "[2,3,?]" into text, for messages. Returns text. */
char *ingot_shape_text(const ingot_tensor *tensor, char *text, size_t capacity);

/* Is it one of the float types / any integer type (bool excluded)? */
bool ingot_is_float(ingot_dtype dtype);
bool ingot_is_integer(ingot_dtype dtype);

/* Read element `index` of a tensor of integers or bool as int64 (uint64 wraps), of any number type as double. */
int64_t ingot_int_at(const ingot_tensor *tensor, int64_t index);
double ingot_double_at(const ingot_tensor *tensor, int64_t index);

/* 16-bit floats to and from float, rounding to nearest even (IEEE 754 binary16; bfloat16). */
float ingot_half_to_float(uint16_t half);
uint16_t ingot_float_to_half(float value);
float ingot_bfloat_to_float(uint16_t bfloat);
uint16_t ingot_float_to_bfloat(float value);

#endif
