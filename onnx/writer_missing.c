/* Until the writer is there. */
#include "onnx/onnx.h"

#include "engine/core/status.h"

__attribute__((weak)) ingot_status ingot_onnx_write(const ingot_onnx *onnx, const ingot_graph *graph, const char *path,
                                                    ingot_error *error)
{
    (void)onnx, (void)graph;
    return ingot_fail(error, INGOT_UNSUPPORTED, "%s: models cannot be saved yet", path);
}
