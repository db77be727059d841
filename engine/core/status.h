/* status.h - filling an ingot_error. */
#ifndef INGOT_CORE_STATUS_H
#define INGOT_CORE_STATUS_H

#include <stdarg.h>

#include "engine/ingot.h"

/* Write one line into *error (NULL is allowed) and return status. Control characters and bytes that are not UTF-8 come
 * out escaped; a line that is too long ends in "...". */
ingot_status ingot_fail(ingot_error *error, ingot_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
ingot_status ingot_vfail(ingot_error *error, ingot_status status, const char *format, va_list arguments);

/* The one line for it; returns INGOT_LIMIT. */
ingot_status ingot_out_of_memory(ingot_error *error);

/* Put "prefix: " before the line that *error holds. */
void ingot_error_prefix(ingot_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
