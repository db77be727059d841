/* memory.c - a 64-byte header before each block holds its size, so that freeing gives back what was counted, and where
 * it begins. */
#include "engine/core/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/core/cgroup.h"

/* Blocks from HUGE_FROM bytes on ask for huge pages; an arena grows by CHUNK_BYTES. Blocks from FRESH_FROM bytes on
 * come cleared from the system, page by page as they are touched. Spares are of SPARE_FROM bytes and more, and serve
 * where at most 1 / SPARE_WASTE of them is left over. */
enum { HUGE_FROM = 4 << 20, CHUNK_BYTES = 64 << 10, FRESH_FROM = 1 << 20, SPARE_FROM = 256 << 10, SPARE_WASTE = 4 };

/* Padded to a whole line, so that what follows it keeps the alignment. */
typedef struct ingot_memory_block {
    size_t size_bytes;
    void *start;               /* what free() takes */
    struct ingot_memory_block *next;  /* of a spare */
    char padding[INGOT_ALIGNMENT - sizeof(size_t) - 2 * sizeof(void *)];
} header;

/* The builtin stores the wrapped product on overflow; callers read *result only where true came back. */
bool ingot_mul_size(size_t a, size_t b, size_t *result) { return !__builtin_mul_overflow(a, b, result); }

/* As ingot_mul_size(). */
bool ingot_add_size(size_t a, size_t b, size_t *result) { return !__builtin_add_overflow(a, b, result); }

/* Pages that the system would promise but could not give end a process long after the call that asked for them. */
uint64_t ingot_memory_of_machine(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    const double allowed = ingot_cgroup_memory_bytes();
    const uint64_t limit = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_MAX;
    return allowed > 0 && allowed < (double)limit ? (uint64_t)allowed : limit;
}

/* Count size_bytes more, unless that passes the limit. Adds first and takes back, so that two threads cannot both pass
 * the limit together. The peak is raised by compare-and-swap. */
static bool reserve(ingot_memory *memory, size_t size_bytes)
{
    const uint64_t used = atomic_fetch_add(&memory->used_bytes, size_bytes) + size_bytes;
    if (memory->limit_bytes && used > memory->limit_bytes) {
        atomic_fetch_sub(&memory->used_bytes, size_bytes);
        return false;
    }
    uint64_t peak = atomic_load(&memory->peak_bytes);
    while (used > peak && !atomic_compare_exchange_weak(&memory->peak_bytes, &peak, used))
        continue;
    return true;
}

/* Bytes for a block, counted; NULL past the limit, and when the system has none. */
static char *obtain(ingot_memory *memory, size_t size_bytes, bool fresh)
{
    if (!reserve(memory, size_bytes))
        return NULL;
    char *start = fresh ? calloc(1, size_bytes) : aligned_alloc(INGOT_ALIGNMENT, size_bytes);
    if (!start)
        atomic_fetch_sub(&memory->used_bytes, size_bytes);
    return start;
}

/* Bytes of a block of size_bytes, with its header; false when they are too many. */
static bool block_bytes(size_t size_bytes, size_t *total)
{
    if (!ingot_add_size(size_bytes, sizeof(header) + INGOT_ALIGNMENT - 1, total) ||
        *total > PTRDIFF_MAX - INGOT_ALIGNMENT)
        return false;
    *total &= ~(size_t)(INGOT_ALIGNMENT - 1);
    return true;
}

/* Rounds up to whole lines and puts the header in the line before; from HUGE_FROM bytes on it asks for huge pages,
 * which saves TLB misses in weights and activations. Fresh memory is aligned by hand. NULL past the limit, and when the
 * system has none: ran_out tells afterwards that it happened. */
static void *allocate(ingot_memory *memory, size_t size_bytes, bool fresh)
{
    size_t total;
    if (!block_bytes(size_bytes, &total))
        return NULL;
    total += fresh ? INGOT_ALIGNMENT : 0;
    char *start = obtain(memory, total, fresh);
    if (!start && ingot_drop_spares(memory))
        start = obtain(memory, total, fresh);
    if (!start) {
        atomic_store(&memory->ran_out, true);
        return NULL;
    }
    header *block = (header *)(void *)(start + (-(uintptr_t)start & (INGOT_ALIGNMENT - 1)));
    if (total >= HUGE_FROM) {
        const uintptr_t page = 4096, begin = ((uintptr_t)block + page - 1) & ~(page - 1);
        madvise((void *)begin, ((uintptr_t)start + total - begin) & ~(page - 1), MADV_HUGEPAGE);
    }
    block->size_bytes = total;
    block->start = start;
    return block + 1;
}

void *ingot_alloc(ingot_memory *memory, size_t size_bytes) { return allocate(memory, size_bytes, false); }

/* Cleared as far as was asked for; what rounding adds is not. Where much is asked for and little used, as by tables
 * that turn out to be too large, the system's own pages cost nothing. */
void *ingot_zalloc(ingot_memory *memory, size_t size_bytes)
{
    const bool fresh = size_bytes >= FRESH_FROM;
    void *pointer = allocate(memory, size_bytes, fresh);
    if (pointer && !fresh)
        memset(pointer, 0, size_bytes);
    return pointer;
}

/* The header says how much was counted, so that the account is right whatever the caller remembers. From any thread,
 * but to the account it came from. */
void ingot_release(ingot_memory *memory, void *pointer)
{
    if (!pointer)
        return;
    header *block = (header *)pointer - 1;
    atomic_fetch_sub(&memory->used_bytes, block->size_bytes);
    free(block->start);
}

/* The spares are one thread's at a time, for as long as a list is walked. */
static void lock_spares(ingot_memory *memory)
{
    while (atomic_exchange(&memory->spares_busy, true))
        continue;
}

static void unlock_spares(ingot_memory *memory) { atomic_store(&memory->spares_busy, false); }

/* Take the spare out that *link leads to. */
static header *unlink_spare(ingot_memory *memory, header **link)
{
    header *block = *link;
    *link = block->next;
    memory->spare_bytes -= block->size_bytes;
    return block;
}

static void release_list(ingot_memory *memory, header *block)
{
    for (header *next; block; block = next) {
        next = block->next;
        ingot_release(memory, block + 1);
    }
}

/* The smallest spare that holds `total` bytes and wastes few; NULL: none. Of the others so many are released, the
 * oldest first, that there is no more memory than there was before. */
static header *take_spare(ingot_memory *memory, size_t total)
{
    header **best = NULL, *dropped = NULL;
    lock_spares(memory);
    for (header **link = &memory->spares; *link; link = &(*link)->next) {
        const size_t size = (*link)->size_bytes;
        if (size >= total && size - total <= total / SPARE_WASTE && (!best || size < (*best)->size_bytes))
            best = link;
    }
    header *taken = best ? unlink_spare(memory, best) : NULL;
    const uint64_t used = atomic_load(&memory->used_bytes), more = taken ? 0 : total;
    const uint64_t needed = used - memory->spare_bytes + more;
    memory->most_needed_bytes = needed > memory->most_needed_bytes ? needed : memory->most_needed_bytes;
    for (uint64_t left = used; memory->spares && left + more > memory->most_needed_bytes;) {
        header **link = &memory->spares;
        while ((*link)->next)
            link = &(*link)->next;
        header *block = unlink_spare(memory, link);
        left -= block->size_bytes;
        block->next = dropped;
        dropped = block;
    }
    unlock_spares(memory);
    release_list(memory, dropped);
    return taken;
}

void *ingot_alloc_spare(ingot_memory *memory, size_t size_bytes)
{
    size_t total;
    header *taken = size_bytes >= SPARE_FROM && block_bytes(size_bytes, &total) ? take_spare(memory, total) : NULL;
    return taken ? taken + 1 : ingot_alloc(memory, size_bytes);
}

void ingot_release_spare(ingot_memory *memory, void *pointer)
{
    header *block = pointer ? (header *)pointer - 1 : NULL;
    if (!block || block->size_bytes < SPARE_FROM) {
        ingot_release(memory, pointer);
        return;
    }
    lock_spares(memory);
    block->next = memory->spares;
    memory->spares = block;
    memory->spare_bytes += block->size_bytes;
    unlock_spares(memory);
}

bool ingot_drop_spares(ingot_memory *memory)
{
    lock_spares(memory);
    header *all = memory->spares;
    memory->spares = NULL;
    memory->spare_bytes = 0;
    unlock_spares(memory);
    release_list(memory, all);
    return all != NULL;
}

/* Chunks form a list, newest first, for freeing them. A header of a whole line keeps the pieces aligned. */
struct ingot_arena_chunk {
    struct ingot_arena_chunk *next;
    char padding[INGOT_ALIGNMENT - sizeof(void *)];
};

/* A bump allocator over zeroed chunks of CHUNK_BYTES; pieces are never freed one by one. The rest of a full chunk is
 * given up. One thread at a time. NULL past the limit, where the arena stays usable. */
void *ingot_arena_alloc(ingot_arena *arena, size_t size_bytes)
{
    if (size_bytes > PTRDIFF_MAX - CHUNK_BYTES)
        return NULL;
    const size_t alignment = size_bytes >= 1024 ? INGOT_ALIGNMENT : 16;
    const size_t skip = (size_t)(-(uintptr_t)arena->next & (alignment - 1));
    if (!arena->next || arena->free_bytes < skip || arena->free_bytes - skip < size_bytes) {
        const bool own = size_bytes > CHUNK_BYTES / 4; /* a large piece gets a chunk of its own; the newest stays */
        struct ingot_arena_chunk *chunk =
            ingot_zalloc(arena->memory, sizeof *chunk + (own ? size_bytes : (size_t)CHUNK_BYTES));
        if (!chunk)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        if (own)
            return chunk + 1;
        arena->next = (char *)(chunk + 1) + size_bytes;
        arena->free_bytes = CHUNK_BYTES - size_bytes;
        return chunk + 1;
    }
    char *pointer = arena->next + skip;
    arena->next = pointer + size_bytes;
    arena->free_bytes -= skip + size_bytes;
    return pointer;
}

/* n may be 0: that is no error, and there is nothing behind the pointer. */
void *ingot_arena_array(ingot_arena *arena, size_t n, size_t item_bytes)
{
    size_t total;
    return ingot_mul_size(n, item_bytes, &total) ? ingot_arena_alloc(arena, total) : NULL;
}

/* `data` may be NULL where size_bytes is 0. */
void *ingot_arena_copy(ingot_arena *arena, const void *data, size_t size_bytes)
{
    void *copy = ingot_arena_alloc(arena, size_bytes);
    if (copy && size_bytes)
        memcpy(copy, data, size_bytes);
    return copy;
}

/* `text` need not be terminated and may hold zero bytes. */
char *ingot_arena_string(ingot_arena *arena, const char *text, size_t length)
{
    if (length == SIZE_MAX)
        return NULL;
    char *copy = ingot_arena_alloc(arena, length + 1);
    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

/* Gives the chunks back to the account, all but `kept`. */
static void release_chunks(ingot_arena *arena, const struct ingot_arena_chunk *kept)
{
    for (struct ingot_arena_chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        if (chunk != kept)
            ingot_release(arena->memory, chunk);
    }
}

/* Pointers into the arena are invalid afterwards; the arena itself can be used again. */
void ingot_arena_free(ingot_arena *arena)
{
    release_chunks(arena, NULL);
    arena->chunks = NULL;
    arena->next = NULL;
    arena->free_bytes = 0;
}

/* Clearing what was used of a chunk is less work than a new one, all of which would have to be cleared. */
void ingot_arena_reset(ingot_arena *arena)
{
    struct ingot_arena_chunk *const kept =
        arena->next ? (struct ingot_arena_chunk *)(void *)(arena->next + arena->free_bytes - CHUNK_BYTES) - 1 : NULL;

    release_chunks(arena, kept);
    arena->chunks = kept;
    if (!kept)
        return;
    kept->next = NULL;
    arena->next = (char *)(kept + 1);
    memset(arena->next, 0, CHUNK_BYTES - arena->free_bytes);
    arena->free_bytes = CHUNK_BYTES;
}
