/* wire.c - the skim over serialized protobuf.
 *
 * A message is a row of fields: a varint tag (field number << 3 | wire type), then a varint, 4 or 8 bytes, or a
 * length and that many bytes, which may be a message again. protobuf-c's own descriptors say which fields are
 * messages, so this follows the schema without naming it. Every length is checked against the message around it
 * before it is used.
 *
 * Lengths of messages are rewritten as five-byte varints: the length in the slim copy is known only at a message's
 * end, and five bytes hold any. The copy of a model is small, as weights are cut out, so it grows by doubling.
 * Source: the protocol buffers documentation, "Encoding". */
#include "onnx/wire.h"

#include <string.h>

#include "engine/core/tensor.h"

/* 35 bits, more than a message of protobuf-c can have. */
enum { LENGTH_BYTES = 5, WINDOW_BYTES = 8192 };
enum { VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, FIXED32 = 5 }; /* wire types */

/* A message whose end was not reached yet. length_at is an offset, as the copy moves when it grows. */
typedef struct open_message {
    const ProtobufCMessageDescriptor *type;
    uint64_t end;
    size_t length_at; /* where the slim copy has its length */
} open_message;

/* The walk: `next` moves through the content, and stack[depth - 1] is the innermost message it is in. slim is the copy
 * that is being made, in memory of the account. */
typedef struct skim {
    const ingot_content *content;
    uint64_t next;
    open_message stack[INGOT_WIRE_DEPTH];
    int depth;
    ingot_memory *memory;
    uint8_t *slim;
    size_t used, capacity;
    uint64_t window_at; /* of a file: where what is in the window comes from */
    size_t window_bytes;
    uint8_t window[WINDOW_BYTES];
    ingot_error *error;
} skim;

/* The n bytes at `at`, at most WINDOW_BYTES and within the content; valid until the next call. NULL where the file
 * cannot be read. Weights are skipped, so the window is small: most of what it takes in besides is not looked at. */
static const uint8_t *look(skim *s, uint64_t at, size_t n)
{
    if (s->content->data)
        return s->content->data + at;
    if (at < s->window_at || at + n > s->window_at + s->window_bytes) {
        s->window_at = at;
        s->window_bytes = (size_t)MIN((uint64_t)WINDOW_BYTES, s->content->size_bytes - at);
        if (!ingot_file_read(s->content->file, at, s->window, s->window_bytes)) {
            s->window_bytes = 0;
            return NULL;
        }
    }
    return s->window + (at - s->window_at);
}

/* What look() failed for. */
static ingot_status unreadable(const skim *s)
{
    return ingot_fail(s->error, INGOT_IO, "the file changed while it was read, or cannot be read");
}

/* Where in the file it is helps whoever wrote that file. Returns INGOT_INVALID. */
static ingot_status malformed(const skim *s, const char *reason)
{
    return ingot_fail(s->error, INGOT_INVALID, "%s at byte %llu", reason, (unsigned long long)s->next);
}

/* Room for n more bytes in the slim copy. INGOT_LIMIT when memory is out; the old copy is then still the skim's to
 * free. */
static ingot_status make_room(skim *s, size_t n)
{
    if (!s->slim || s->capacity - s->used < n) {
        size_t capacity;
        uint8_t *larger = NULL;
        if (ingot_add_size(2 * s->capacity, n + 4096, &capacity))
            larger = ingot_alloc(s->memory, capacity);
        if (!larger)
            return ingot_fail(s->error, INGOT_LIMIT, "out of memory while reading");
        if (s->used)
            memcpy(larger, s->slim, s->used);
        ingot_release(s->memory, s->slim);
        s->slim = larger;
        s->capacity = capacity;
    }
    return INGOT_OK;
}

/* Add bytes to the slim copy. */
static ingot_status append(skim *s, const void *bytes, size_t n)
{
    const ingot_status status = make_room(s, n);
    if (status)
        return status;
    memcpy(s->slim + s->used, bytes, n);
    s->used += n;
    return INGOT_OK;
}

/* Add bytes [from, end) of the content. What is larger than the window goes from the file to the copy at once. */
static ingot_status append_range(skim *s, uint64_t from, uint64_t end)
{
    const size_t n = (size_t)(end - from);
    if (s->content->data || n <= WINDOW_BYTES) {
        const uint8_t *bytes = look(s, from, n);
        return bytes ? append(s, bytes, n) : unreadable(s);
    }
    const ingot_status status = make_room(s, n);
    if (status)
        return status;
    if (!ingot_file_read(s->content->file, from, s->slim + s->used, n))
        return unreadable(s);
    s->used += n;
    return INGOT_OK;
}

/* Seven bits a byte, the lowest first; the top bit tells that more follow. Bits past 64 are dropped, as protobuf does.
 * Never reads past the innermost message. */
static ingot_status read_varint(skim *s, uint64_t *value)
{
    const uint64_t left = s->stack[s->depth - 1].end - s->next;
    const uint8_t *bytes = look(s, s->next, (size_t)MIN(left, 10u));
    *value = 0;
    if (!bytes)
        return unreadable(s);
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (shift / 7 == left)
            return malformed(s, "the data ends within a number");
        const uint8_t byte = *bytes++;
        s->next++;
        if (shift < 64)
            *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return INGOT_OK;
    }
    return malformed(s, "a number takes more than ten bytes");
}

/* A varint of fixed width: the continuation bit is set even where only zeros follow. Longer than need be is allowed: a
 * decoder takes any varint of up to ten bytes. */
static void put_length(uint8_t *dst, size_t length)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        dst[i] = (uint8_t)((length >> 7 * i & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
}

/* Fields that nothing here reads. A model's own metadata_props are kept. By name, whatever message they are in:
 * doc_string is in most of them. */
static bool is_unwanted(const ProtobufCMessageDescriptor *type, const char *field)
{
    static const char *const names[] = {"doc_string",          "training_info",           "configuration",
                                        "device_configurations", "quantization_annotation", "denotation"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(field, names[i]))
            return true;
    return type != &onnx__model_proto__descriptor && type != &onnx__node_proto__descriptor &&
           !strcmp(field, "metadata_props");
}

/* Of a node's metadata_props only the path of modules is read (module_path.c); the stack traces beside it would take
 * more memory than the graph. An entry starts with its key: tag, length, text. An entry whose value comes before its
 * key is left out too; nobody writes that. */
static bool is_unread_entry(skim *s, const ProtobufCMessageDescriptor *type, const char *field, uint64_t length)
{
    static const char key[] = "\n\x1a" INGOT_NAME_SCOPES;
    if (type != &onnx__node_proto__descriptor || strcmp(field, "metadata_props"))
        return false;
    const uint8_t *entry = length < sizeof key - 1 ? NULL : look(s, s->next, sizeof key - 1);
    return !entry || memcmp(entry, key, sizeof key - 1);
}

/* Step into a message whose tag was copied; put_length() fills in its length when it ends. INGOT_INVALID past
 * INGOT_WIRE_DEPTH levels: protobuf-c unpacks by recursion. */
static ingot_status open_nested(skim *s, const ProtobufCMessageDescriptor *type, uint64_t end)
{
    static const uint8_t no_length[LENGTH_BYTES];
    if (s->depth == INGOT_WIRE_DEPTH)
        return malformed(s, "messages nest too deep");
    s->stack[s->depth++] = (open_message){type, end, s->used};
    return append(s, no_length, LENGTH_BYTES);
}

/* A field with a length: a nested message is opened, raw_data cut out, anything else copied. `begin` is where the tag
 * starts; field NULL is one to leave out. In place of raw_data goes its range in the file, an ingot_raw. */
static ingot_status skim_delimited(skim *s, uint64_t begin, const ProtobufCFieldDescriptor *field)
{
    const open_message *top = &s->stack[s->depth - 1];
    const uint64_t tag_end = s->next;
    uint64_t length;
    ingot_status status = read_varint(s, &length);
    if (status)
        return status;
    if (length > top->end - s->next)
        return malformed(s, "a field is longer than the data around it (is the file truncated?)");
    const uint64_t content = s->next, end = content + length;
    if (!field || is_unread_entry(s, top->type, field->name, length)) {
        s->next = end;
        return INGOT_OK;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        status = append_range(s, begin, tag_end);
        return status ? status : open_nested(s, field->descriptor, end);
    }
    s->next = end;
    if (top->type == &onnx__tensor_proto__descriptor && !strcmp(field->name, "raw_data")) {
        const ingot_raw raw = {content, length};
        const uint8_t raw_bytes = sizeof raw;
        if ((status = append_range(s, begin, tag_end)) || (status = append(s, &raw_bytes, 1)))
            return status;
        return append(s, &raw, sizeof raw);
    }
    return append_range(s, begin, end);
}

/* One field of the innermost open message. Groups (wire types 3 and 4) are no part of the schema. Fields that the
 * schema does not have are left out. */
static ingot_status skim_field(skim *s)
{
    const open_message *top = &s->stack[s->depth - 1];
    const uint64_t begin = s->next;
    uint64_t tag, value;
    ingot_status status = read_varint(s, &tag);
    if (status)
        return status;
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return malformed(s, "not a field");
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(top->type, (unsigned)(tag >> 3));
    if (field && is_unwanted(top->type, field->name))
        field = NULL;
    switch (tag & 7) {
    case VARINT: status = read_varint(s, &value); break;
    case LENGTH_DELIMITED: return skim_delimited(s, begin, field);
    case FIXED64:
    case FIXED32: {
        const uint64_t width = (tag & 7) == FIXED64 ? 8 : 4;
        if (top->end - s->next < width)
            return malformed(s, "the data ends within a number");
        s->next += width;
        break;
    }
    default: return malformed(s, "not a field");
    }
    return status || !field ? status : append_range(s, begin, s->next);
}

/* The stack replaces recursion: stack[0] is the whole message, and one field or one end is handled in each round. On
 * success *slim is the caller's to release; on failure nothing is left. */
ingot_status ingot_wire_slim(const ProtobufCMessageDescriptor *type, const ingot_content *content,
                             ingot_memory *memory, uint8_t **slim, size_t *slim_bytes, ingot_error *error)
{
    skim s;
    s.content = content;
    s.next = s.window_at = s.window_bytes = s.used = s.capacity = 0;
    s.depth = 1;
    s.memory = memory;
    s.slim = NULL;
    s.error = error;
    s.stack[0] = (open_message){type, content->size_bytes, 0};
    ingot_status status = append(&s, "", 0);
    while (!status && s.depth) {
        const open_message *top = &s.stack[s.depth - 1];
        if (s.next < top->end) {
            status = skim_field(&s);
            continue;
        }
        if (s.depth > 1)
            put_length(s.slim + top->length_at, s.used - top->length_at - LENGTH_BYTES);
        s.depth--;
    }
    if (!status && s.used > INT32_MAX) /* what protobuf-c can take */
        status = ingot_fail(error, INGOT_LIMIT, "more than 2 GiB apart from raw tensor data");
    if (status) {
        ingot_release(memory, s.slim);
        return status;
    }
    *slim = s.slim;
    *slim_bytes = s.used;
    return INGOT_OK;
}
