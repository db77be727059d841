/* name_table.c - names to ids, as open addressing with linear probing: one array, at most half full, doubled when it
 * would be fuller. Names are compared whole, the hash only says where to look first. */
#include "onnx/name_table.h"

#include <string.h>

/* The name is the caller's and must outlive the table. */
typedef struct ingot_name_entry {
    const char *name; /* NULL: empty */
    int id;
} entry;

/* The entry of the name, or the empty one where it would go. Source: Fowler, Noll and Vo's 64-bit FNV-1a, its halves
 * mixed as the low bits choose the slot. The table must have room. */
static entry *find_entry(const ingot_name_table *table, const char *name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t slot = (size_t)(hash ^ hash >> 32) & (table->capacity - 1);
    while (table->entries[slot].name && strcmp(table->entries[slot].name, name))
        slot = (slot + 1) & (table->capacity - 1);
    return &table->entries[slot];
}

/* The old array stays behind in the arena: together they are less than the new one. False when memory is out; the table
 * is as it was. */
static bool grow_table(ingot_arena *arena, ingot_name_table *table)
{
    ingot_name_table larger = {table->n, table->capacity ? 2 * table->capacity : 16, NULL};
    larger.entries = ingot_arena_array(arena, larger.capacity, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].name)
            *find_entry(&larger, table->entries[i].name) = table->entries[i];
    *table = larger;
    return true;
}

/* A name that is there already gets the new id. False when memory is out. */
bool ingot_name_table_set(ingot_arena *arena, ingot_name_table *table, const char *name, int id)
{
    if (2 * (table->n + 1) > table->capacity && !grow_table(arena, table))
        return false;
    entry *e = find_entry(table, name);
    table->n += !e->name;
    *e = (entry){name, id};
    return true;
}

/* id may be NULL, and is set only where the name is there. An empty table has no array to look into. */
bool ingot_name_table_find(const ingot_name_table *table, const char *name, int *id)
{
    if (!table->n)
        return false;
    const entry *e = find_entry(table, name);
    if (e->name && id)
        *id = e->id;
    return e->name != NULL;
}
