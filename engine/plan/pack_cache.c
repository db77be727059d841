/* pack_cache.c - packed weights, made once per (node, tag), and constants that were read from a file. A plan holds the
 * lock while it prepares its steps, so a second session waits and then finds them made. */
#include <stdlib.h>
#include <time.h>

#include "engine/plan/plan.h"

/* Weights in the order that a kernel wants. The tag is the operator's: it tells apart forms of one node's weights.
 * Nodes, and constants, are told apart by address: they live as long as the model, and so does the cache. */
typedef struct pack {
    const void *node;
    uint64_t tag;
    void *data;
    size_t size_bytes;
    bool is_new;       /* since the lock was taken */
    struct pack *next;
} pack;

enum { N_BUCKETS = 256 };

/* A hash table with lists, never resized: a model has a few hundred packs. Everything in it is guarded by `mutex`; data
 * is only read once the lock is given back. */
struct ingot_pack_cache {
    ingot_memory *memory;
    pthread_mutex_t mutex;
    uint64_t size_bytes;
    pack *buckets[N_BUCKETS];
};

/* NULL when memory is out. Packs are counted in the model's account, not in a session's. */
ingot_pack_cache *ingot_pack_cache_create(ingot_memory *memory)
{
    ingot_pack_cache *cache = ingot_zalloc(memory, sizeof *cache);
    if (cache) {
        cache->memory = memory;
        pthread_mutex_init(&cache->mutex, NULL);
    }
    return cache;
}

/* The caller has unlinked it from its bucket. */
static void free_pack(ingot_pack_cache *cache, pack *p)
{
    cache->size_bytes -= p->size_bytes;
    ingot_release(cache->memory, p->data);
    ingot_release(cache->memory, p);
}

/* No plan that uses the packs may be left. NULL is allowed. */
void ingot_pack_cache_free(ingot_pack_cache *cache)
{
    if (!cache)
        return;
    for (int b = 0; b < N_BUCKETS; b++)
        for (pack *p = cache->buckets[b], *next; p; p = next) {
            next = p->next;
            free_pack(cache, p);
        }
    pthread_mutex_destroy(&cache->mutex);
    ingot_release(cache->memory, cache);
}

/* fill tells the caller to write the memory, still under the lock. Different sizes under one tag are different packs.
 * NULL when memory is out. The caller holds the lock. The memory is not cleared and stays the cache's. */
void *ingot_pack_cache_get(ingot_pack_cache *cache, const void *node, uint64_t tag, size_t size_bytes, bool *fill)
{
    pack **bucket = &cache->buckets[((uintptr_t)node / sizeof(void *) + tag) % N_BUCKETS];
    for (pack *p = *bucket; p; p = p->next)
        if (p->node == node && p->tag == tag && p->size_bytes == size_bytes) {
            *fill = false;
            return p->data;
        }
    pack *p = ingot_zalloc(cache->memory, sizeof *p);
    if (!p)
        return NULL;
    *p = (pack){node, tag, ingot_alloc(cache->memory, size_bytes), size_bytes, true, *bucket};
    if (!p->data) {
        ingot_release(cache->memory, p);
        return NULL;
    }
    *bucket = p;
    cache->size_bytes += size_bytes;
    *fill = true;
    return p->data;
}

/* False where another thread has it for so long. */
bool ingot_pack_cache_try_lock(ingot_pack_cache *cache, int milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += milliseconds * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return !pthread_mutex_timedlock(&cache->mutex, &until);
}

/* Not recursive: whoever prepares steps holds it once around all of them. */
void ingot_pack_cache_lock(ingot_pack_cache *cache) { pthread_mutex_lock(&cache->mutex); }

/* A failed plan forgets its packs: they may be half written. Afterwards nothing is new, and other threads may use what
 * was made. */
void ingot_pack_cache_unlock(ingot_pack_cache *cache, bool keep_new)
{
    for (int b = 0; b < N_BUCKETS; b++)
        for (pack **link = &cache->buckets[b]; *link;) {
            pack *p = *link;
            if (p->is_new && !keep_new) {
                *link = p->next;
                free_pack(cache, p);
                continue;
            }
            p->is_new = false;
            link = &p->next;
        }
    pthread_mutex_unlock(&cache->mutex);
}

/* Elements alone, without the records; a momentary figure, read without the lock. */
uint64_t ingot_pack_cache_bytes(const ingot_pack_cache *cache) { return cache->size_bytes; }
