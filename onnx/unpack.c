/* unpack.c - protobuf-c behind a budget. Small pieces come from an arena, as a message has very many of them and all
 * die together; pieces of LARGE_BYTES and more, among them protobuf-c's scratch memory, are given back when it frees
 * them. */
#include "onnx/wire.h"

#include <string.h>

enum { LARGE_BYTES = 2048 };

/* The budget, in terms of the file. Unpacked, most messages are a few times as large; but an empty node of two bytes
 * takes almost 100, so that a small file could ask for gigabytes. */
static const uint64_t budget_factor = 16, budget_extra_bytes = 16 << 20;

/* Before each piece: what free needs to know. Keeps the alignment of 16. */
typedef struct piece {
    uint64_t size_bytes;
    uint64_t is_large;
} piece;

/* Once the budget is passed nothing more is given, and limit_reached tells why unpacking failed. NULL, as protobuf-c
 * takes it for failed, past the budget or the account's limit. */
static void *allocate(void *argument, size_t size_bytes)
{
    ingot_unpacked *u = argument;
    if (u->limit_reached || size_bytes > u->budget_bytes || u->used_bytes > u->budget_bytes - size_bytes) {
        u->limit_reached = true;
        return NULL;
    }
    const bool is_large = size_bytes >= LARGE_BYTES;
    const size_t total = size_bytes + sizeof(piece);
    piece *p = is_large ? ingot_alloc(u->memory, total) : ingot_arena_alloc(&u->arena, total);
    if (!p) {
        u->limit_reached = true;
        return NULL;
    }
    *p = (piece){size_bytes, is_large};
    u->used_bytes += size_bytes;
    return p + 1;
}

/* Pieces in the arena only stop to count. */
static void give_back(void *argument, void *pointer)
{
    ingot_unpacked *u = argument;
    if (!pointer)
        return;
    piece *p = (piece *)pointer - 1;
    u->used_bytes -= p->size_bytes;
    if (p->is_large)
        ingot_release(u->memory, p);
}

/* protobuf-c reports no reason: what remains after skim and budget is a field that is there with another wire type. Raw
 * data in the result are ranges of the content (see wire.h), which must stay. After any status ingot_unpacked_free() is
 * due, and allowed. */
ingot_status ingot_unpack(const ProtobufCMessageDescriptor *type, const ingot_content *content, ingot_memory *memory,
                          ingot_unpacked *result, ingot_error *error)
{
    uint8_t *slim;
    size_t slim_bytes;
    *result = (ingot_unpacked){.memory = memory, .arena = {.memory = memory}};
    result->allocator = (ProtobufCAllocator){allocate, give_back, result};
    if (__builtin_mul_overflow(budget_factor, content->size_bytes, &result->budget_bytes) ||
        __builtin_add_overflow(result->budget_bytes, budget_extra_bytes, &result->budget_bytes))
        result->budget_bytes = UINT64_MAX;
    const ingot_status status = ingot_wire_slim(type, content, memory, &slim, &slim_bytes, error);
    if (status)
        return status;
    result->message = protobuf_c_message_unpack(type, &result->allocator, slim_bytes, slim);
    ingot_release(memory, slim);
    if (result->message)
        return INGOT_OK;
    if (result->limit_reached)
        return ingot_fail(error, INGOT_LIMIT, "needs more memory to read than a model of its size may take");
    return ingot_fail(error, INGOT_INVALID, "a field has the wrong type");
}

/* protobuf-c walks the message to free the large pieces one by one; its depth was bounded by the skim. May be called
 * twice. */
void ingot_unpacked_free(ingot_unpacked *unpacked)
{
    if (unpacked->message)
        protobuf_c_message_free_unpacked(unpacked->message, &unpacked->allocator);
    ingot_arena_free(&unpacked->arena);
    unpacked->message = NULL;
}
