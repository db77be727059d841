/* strict.c - does a run keep what the file declares? Shapes in value_info are hints that tools get wrong, so Ingot
 * trusts what it computes; a session with the option `strict` says where the two differ instead. */
#include "engine/strict.h"

#include <string.h>

/* A named dimension and the size that the first value with it had. */
typedef struct symbol {
    const char *name, *value;
    int64_t size;
} symbol;

typedef struct checker {
    const char *file;
    symbol *symbols;
    int n_symbols;
    ingot_error *error;
} checker;

/* One name must stand for one size in the whole graph. The table has room for every dimension of every value. */
static ingot_status check_symbol(checker *k, const char *value, const char *name, int64_t size)
{
    for (int i = 0; i < k->n_symbols; i++)
        if (!strcmp(k->symbols[i].name, name))
            return k->symbols[i].size == size
                       ? INGOT_OK
                       : ingot_fail(k->error, INGOT_INVALID,
                                    "%.120s: dimension '%.60s' is %lld in '%.80s' but %lld in '%.80s'", k->file, name,
                                    (long long)k->symbols[i].size, k->symbols[i].value, (long long)size, value);
    k->symbols[k->n_symbols++] = (symbol){name, value, size};
    return INGOT_OK;
}

/* Element type, rank and sizes of one value. What is not declared cannot differ. */
static ingot_status check_value(checker *k, const ingot_value *value, const ingot_tensor *computed)
{
    const ingot_type *type = &value->type;
    char text[128];
    if (type->kind != INGOT_TENSOR || computed->kind != INGOT_TENSOR || computed->rank < 0)
        return INGOT_OK;
    if (type->dtype && type->dtype != computed->dtype)
        return ingot_fail(k->error, INGOT_INVALID, "%.150s: '%.80s' is declared as %s but computed as %s", k->file,
                          value->name, ingot_dtype_name(type->dtype), ingot_dtype_name(computed->dtype));
    if (type->rank >= 0 && type->rank != computed->rank)
        return ingot_fail(k->error, INGOT_INVALID,
                          "%.150s: '%.80s' is declared with rank %d but computed with shape %s", k->file, value->name,
                          (int)type->rank, ingot_shape_text(computed, text, sizeof text));
    for (int d = 0; d < type->rank; d++) {
        if (type->shape[d] >= 0 && type->shape[d] != computed->shape[d])
            return ingot_fail(k->error, INGOT_INVALID,
                              "%.150s: '%.80s' is declared with size %lld in dimension %d but has shape %s", k->file,
                              value->name, (long long)type->shape[d], d, ingot_shape_text(computed, text, sizeof text));
        if (type->shape[d] < 0 && type->symbols && type->symbols[d]) {
            const ingot_status status = check_symbol(k, value->name, type->symbols[d], computed->shape[d]);
            if (status)
                return status;
        }
    }
    return INGOT_OK;
}

/* Values that passes removed or fused away are not computed, and not looked at. */
ingot_status ingot_check_declared(const ingot_plan *plan, const char *file, ingot_error *error)
{
    const ingot_graph *graph = plan->graph;
    checker k = {.file = file, .error = error};
    size_t dimensions = 1;
    for (int v = 0; v < graph->n_values; v++)
        dimensions += graph->values[v].type.rank > 0 ? (size_t)graph->values[v].type.rank : 0;
    k.symbols = ingot_arena_array(&plan->env->run_arena, dimensions, sizeof *k.symbols);
    if (!k.symbols)
        return ingot_out_of_memory(error);
    ingot_status status = INGOT_OK;
    for (int v = 0; v < graph->n_values && !status; v++)
        if (plan->values[v]->place != INGOT_PLACE_NONE)
            status = check_value(&k, &graph->values[v], &plan->values[v]->tensor);
    return status;
}
