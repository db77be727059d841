/* pack_cache.c - packed weights, made once per (node, tag). A plan holds the lock while it prepares its steps, so a
 * second session waits and then finds them made. */
#include <stdlib.h>

#include "engine/plan/plan.h"

typedef struct pack {
    const ingot_node *node;
    uint64_t tag;
    void *data;
    size_t size_bytes;
    bool is_new;       /* since the lock was taken */
    struct pack *next;
} pack;

enum { N_BUCKETS = 256 };

struct ingot_pack_cache {
    ingot_memory *memory;
    pthread_mutex_t mutex;
    uint64_t size_bytes;
    pack *buckets[N_BUCKETS];
};

ingot_pack_cache *ingot_pack_cache_create(ingot_memory *memory)
{
    ingot_pack_cache *cache = ingot_zalloc(memory, sizeof *cache);
    if (cache) {
        cache->memory = memory;
        pthread_mutex_init(&cache->mutex, NULL);
    }
    return cache;
}

static void free_pack(ingot_pack_cache *cache, pack *p)
{
    cache->size_bytes -= p->size_bytes;
    ingot_release(cache->memory, p->data);
    ingot_release(cache->memory, p);
}

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

void *ingot_pack_cache_get(ingot_pack_cache *cache, const ingot_node *node, uint64_t tag, size_t size_bytes, bool *fill)
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

void ingot_pack_cache_lock(ingot_pack_cache *cache) { pthread_mutex_lock(&cache->mutex); }

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

uint64_t ingot_pack_cache_bytes(const ingot_pack_cache *cache) { return cache->size_bytes; }
