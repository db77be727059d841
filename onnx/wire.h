/* wire.h - serialized protobuf, looked at before protobuf-c unpacks it, and unpacked with a budget.
 *
 * protobuf-c recurses over nested messages, copies every `bytes` field and checks neither depth nor memory. So a skim
 * with an explicit stack comes first. It makes a slim copy of the bytes: nested at most INGOT_WIRE_DEPTH deep, without
 * fields that nothing here reads (documentation, training), and with each raw_data replaced by an ingot_raw that
 * tells where in the original bytes it lies. Weights are thus never copied. */
#ifndef INGOT_ONNX_WIRE_H
#define INGOT_ONNX_WIRE_H

#include "engine/core/model_file.h"
#include "engine/core/memory.h"
#include "engine/core/status.h"
#include "onnx/onnx.pb-c.h"

enum { INGOT_WIRE_DEPTH = 100 };

/* The one key of a node's metadata_props that is read. */
#define INGOT_NAME_SCOPES "pkg.torch.onnx.name_scopes"

/* What stands in an unpacked TensorProto's raw_data: a range of the original bytes. */
typedef struct ingot_raw {
    uint64_t offset, size_bytes;
} ingot_raw;

/* A message and the memory that holds it. */
typedef struct ingot_unpacked {
    ProtobufCMessage *message;
    ProtobufCAllocator allocator;
    ingot_memory *memory;
    ingot_arena arena;        /* holds the small pieces; large ones are allocated and freed one by one */
    uint64_t used_bytes, budget_bytes;
    bool limit_reached;
} ingot_unpacked;

/**
 * Skim and unpack a message of the given type.
 * content  in memory, or in a file, of which weights are not read.
 * memory   counts everything; the message itself may take 16 times the content's size and 16 MiB.
 * result   to be freed with ingot_unpacked_free(), also after a failure.
 * Returns  INGOT_OK, INGOT_INVALID (the line says at which byte and why), INGOT_LIMIT or INGOT_IO.
 */
ingot_status ingot_unpack(const ProtobufCMessageDescriptor *type, const ingot_content *content, ingot_memory *memory,
                          ingot_unpacked *result, ingot_error *error);
void ingot_unpacked_free(ingot_unpacked *unpacked);

/* The slim copy of a serialized message (see above), to be freed with ingot_release(). */
ingot_status ingot_wire_slim(const ProtobufCMessageDescriptor *type, const ingot_content *content,
                             ingot_memory *memory, uint8_t **slim, size_t *slim_bytes, ingot_error *error);

#endif
