/* pb.c - .pb files: a serialized TensorProto, SequenceProto or OptionalProto, which the library decodes. */
#include "cli/cli.h"

#include <stdlib.h>

/* The decoded elements are copies: the file's bytes are freed here. */
ingot_status cli_pb_read(const char *path, ingot_kind kind, cli_value *value, ingot_error *error)
{
    uint8_t *data;
    size_t size_bytes;
    ingot_error inner = {.status = INGOT_OK};
    ingot_status st = cli_read_file(path, &data, &size_bytes, error);
    if (st)
        return st;
    st = ingot_tensor_decode(data, size_bytes, kind, &value->tensor, &inner);
    value->decoded = !st;
    free(data);
    /* whatever is wrong with it, it is an input and not the model that is malformed */
    return st ? cli_fail_file(error, st == INGOT_INVALID ? INGOT_BAD_INPUT : st, path, "%s", inner.message) : INGOT_OK;
}

/* Encoded in memory first, so that an error in the value leaves no half file. */
ingot_status cli_pb_write(const char *path, const char *name, const ingot_tensor *tensor, ingot_error *error)
{
    void *data = NULL;
    size_t size_bytes = 0;
    ingot_error inner = {.status = INGOT_OK};
    ingot_status st = ingot_tensor_encode(tensor, name, &data, &size_bytes, &inner);
    if (st)
        return cli_fail_file(error, st, path, "%s", inner.message);
    st = cli_write_file(path, &(cli_bytes){data, size_bytes}, 1, error);
    free(data);
    return st;
}
