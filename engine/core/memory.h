/* memory.h - counted allocation. Every allocation of a model or a session goes through its ingot_memory, which holds
 * the limit; an arena hands out small pieces that are freed together. */
#ifndef INGOT_CORE_MEMORY_H
#define INGOT_CORE_MEMORY_H

#include <stdatomic.h>

#include "engine/ingot.h"

#define INGOT_ALIGNMENT 64 /* bytes; a cache line, and the widest vector */

typedef struct ingot_memory {
    uint64_t limit_bytes; /* 0: none */
    _Atomic uint64_t used_bytes;
    _Atomic uint64_t peak_bytes;
    _Atomic bool ran_out; /* once: work that leaves a thing out where memory lacks shows here */
    struct ingot_memory_block *spares; /* what ingot_release_spare() kept, newest first */
    uint64_t spare_bytes, most_needed_bytes; /* of the spares; most that was in use without them */
    _Atomic bool spares_busy; /* some thread is at the three above */
} ingot_memory;

/* Memory aligned to INGOT_ALIGNMENT; NULL past the limit or when the system has none. Not cleared: see ingot_zalloc.
 * Blocks of many pages ask for huge pages. size_bytes may be 0. Threads: any. */
void *ingot_alloc(ingot_memory *memory, size_t size_bytes);
void *ingot_zalloc(ingot_memory *memory, size_t size_bytes);
void ingot_release(ingot_memory *memory, void *pointer); /* NULL is allowed */

/* The same for memory that is given back and soon asked for again, in the same sizes: large blocks are kept meanwhile,
 * as the system clears what it gives, which takes longer than most operators that fill it. No more is kept than was in
 * use at once before, and where the limit or the system refuses memory all of it is given back first. What is kept
 * counts as used, until ingot_drop_spares(). */
void *ingot_alloc_spare(ingot_memory *memory, size_t size_bytes);
void ingot_release_spare(ingot_memory *memory, void *pointer);
bool ingot_drop_spares(ingot_memory *memory); /* false: there were none */

/* Memory that the machine has, or the cgroup of this process allows: the limit where the caller sets none. */
uint64_t ingot_memory_of_machine(void);

/* Products and sums of sizes that come from files: false on overflow, *result is of no use then. */
bool ingot_mul_size(size_t a, size_t b, size_t *result);
bool ingot_add_size(size_t a, size_t b, size_t *result);

/* Bytes of n items, rounded up so that what follows is aligned; of sizes that were checked before. */
static inline size_t ingot_aligned_bytes(int64_t n, size_t item_bytes)
{
    return ((size_t)n * item_bytes + INGOT_ALIGNMENT - 1) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
}

typedef struct ingot_arena {
    ingot_memory *memory;
    struct ingot_arena_chunk *chunks;
    size_t free_bytes; /* left in the newest chunk */
    char *next;
} ingot_arena;

/* Zeroed memory, aligned to 16 bytes (INGOT_ALIGNMENT from 1 KiB on), that lives until ingot_arena_free(). */
void *ingot_arena_alloc(ingot_arena *arena, size_t size_bytes);
void *ingot_arena_array(ingot_arena *arena, size_t n, size_t item_bytes); /* NULL on overflow too */
void *ingot_arena_copy(ingot_arena *arena, const void *data, size_t size_bytes);
char *ingot_arena_string(ingot_arena *arena, const char *text, size_t length); /* terminated copy */
void ingot_arena_free(ingot_arena *arena); /* leaves an empty arena that can be used again */
void ingot_arena_reset(ingot_arena *arena); /* the same, which keeps a chunk for what is asked for next */

#endif
