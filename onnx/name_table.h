/* name_table.h - names to ids, in an arena. */
#ifndef INGOT_ONNX_NAME_TABLE_H
#define INGOT_ONNX_NAME_TABLE_H

#include "engine/core/memory.h"

/* Zeros make an empty table. */
typedef struct ingot_name_table {
    size_t n, capacity; /* capacity is 0 or a power of two */
    struct ingot_name_entry *entries;
} ingot_name_table;

/* Give name (not copied) an id, in place of the one it had. False when memory is out. */
bool ingot_name_table_set(ingot_arena *arena, ingot_name_table *table, const char *name, int id);

/* False, and *id untouched, when the name is not there. id may be NULL. */
bool ingot_name_table_find(const ingot_name_table *table, const char *name, int *id);

#endif
