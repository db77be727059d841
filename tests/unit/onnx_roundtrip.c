/* onnx_roundtrip.c - read a model, and write what was read: onnx_roundtrip MODEL [OUT]. Exits with the status; the
 * tests hand it every model they have, and broken ones. */
#include <stdio.h>

#include "onnx/onnx.h"

/* Facts of the model go to standard output, an error's line to standard error. 99: all went well, but memory is
 * still allocated after the model was closed. */
int main(int argc, char **argv)
{
    ingot_memory memory = {0};
    ingot_error error = {0};
    ingot_onnx *onnx;
    if (argc < 2 || argc > 3)
        return INGOT_USAGE;
    ingot_status status = ingot_onnx_open(argv[1], NULL, 0, NULL, &memory, &onnx, &error);
    if (!status) {
        printf("%d nodes, %d values, %d inputs, %d outputs, %lld parameters, peak %llu KiB\n", onnx->graph->n_nodes,
               onnx->graph->n_values, onnx->graph->n_inputs, onnx->graph->n_outputs, (long long)onnx->n_parameters,
               (unsigned long long)memory.peak_bytes >> 10);
        if (argc == 3)
            status = ingot_onnx_write(onnx, onnx->graph, argv[2], &error);
        ingot_onnx_close(onnx);
    }
    if (status)
        fprintf(stderr, "%s\n", error.message);
    else if (memory.used_bytes) {
        fprintf(stderr, "%s: %llu bytes are still allocated\n", argv[1], (unsigned long long)memory.used_bytes);
        return 99;
    }
    return (int)status;
}
