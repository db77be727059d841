/* inspect_graph.c - a model's graph as the data that view.js draws: nodes with what they read, make and hold. It is
 * JSON in a script element that no browser runs. */
#include "cli/inspect.h"

/* Characters that could end a script element or a line are written as escapes, whatever names hold. */
static void add_text(cli_page *page, const char *text)
{
    const char *const end = text + strlen(text);
    cli_page_add(page, "\"");
    while (text < end) {
        const char *const from = text;
        const int32_t c = cli_next_code_point(&text, end);
        if (c < 0)
            text = from + 1;
        if (c < 0)
            cli_page_add(page, "?");
        else if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029 ||
                 (c >= 0x7f && c < 0xa0))
            cli_page_add(page, "\\u%04x", (unsigned)c);
        else
            cli_page_add(page, "%.*s", (int)(text - from), from);
    }
    cli_page_add(page, "\"");
}

/* What the plan says of a value, else nothing. */
static const char *value_type(const inspect_view *view, const char *name, char *text, size_t capacity)
{
    ingot_tensor type;
    text[0] = 0;
    if (view->session && ingot_session_value_type(view->session, name, &type)) {
        if (type.rank < 0)
            snprintf(text, capacity, "%s of a shape that a run shows", ingot_dtype_name(type.dtype));
        else
            cli_type_text(&type, text, capacity);
    }
    return text;
}

/* [name, type, source]: source is the node's place in the list, where inputs of the graph come first; -2 is a constant,
 * -1 nothing. */
static void add_input(cli_page *page, const inspect_view *view, const char *name)
{
    const diff_value value = diff_find(view->side, name);
    char text[300] = "";
    long long source = -1;
    if (value.origin == FROM_CONSTANT) {
        cli_type_text(&view->side->constants[value.index].type, text, sizeof text);
        source = -2;
    } else if (value.origin == FROM_INPUT) {
        source = (long long)value.index;
    } else if (value.origin == FROM_NODE) {
        source = (long long)(value.index + ingot_model_n_inputs(view->side->model));
    }
    if (value.origin != FROM_CONSTANT)
        value_type(view, name, text, sizeof text);
    cli_page_add(page, "[");
    add_text(page, name);
    cli_page_add(page, ",");
    add_text(page, text);
    cli_page_add(page, ",%lld]", source);
}

/* Two texts in brackets, with a comma before all but the first. */
static void add_pair(cli_page *page, bool first, const char *a, const char *b)
{
    cli_page_add(page, "%s[", first ? "" : ",");
    add_text(page, a);
    cli_page_add(page, ",");
    add_text(page, b);
    cli_page_add(page, "]");
}

/* Elements of the constants that a node and what is fused into it read. */
static int64_t parameters(const diff_side *side, size_t index)
{
    const ingot_node_info *node = &side->nodes[index].info;
    const char *name;
    int64_t n = 0;
    for (size_t k = 0;; k++) {
        name = k < node->n_inputs ? node->inputs[k] : ingot_model_node_reads(side->model, index, k - node->n_inputs);
        if (!name)
            return n;
        const diff_value value = diff_find(side, name);
        if (value.origin == FROM_CONSTANT && side->constants[value.index].type.kind == INGOT_TENSOR)
            n += ingot_tensor_count(&side->constants[value.index].type);
    }
}

/* One box; the keys are short, as there may be many thousands. */
static void add_node(cli_page *page, const inspect_view *view, size_t index, bool first)
{
    const ingot_node_info *node = &view->side->nodes[index].info;
    ingot_attribute_info attribute;
    const char *beside;
    char text[400];
    cli_page_add(page, "%s\n{\"n\":", first ? "" : ",");
    add_text(page, node->name[0] ? node->name : node->n_outputs ? node->outputs[0] : "");
    cli_page_add(page, ",\"o\":");
    add_text(page, node->op_type);
    cli_page_add(page, ",\"f\":");
    add_text(page, node->fused);
    cli_page_add(page, ",\"d\":");
    add_text(page, node->domain);
    cli_page_add(page, ",\"m\":");
    add_text(page, node->module);
    cli_page_add(page, ",\"p\":%lld,\"i\":[", (long long)parameters(view->side, index));
    for (size_t k = 0; k < node->n_inputs; k++) {
        cli_page_add(page, "%s", k ? "," : "");
        add_input(page, view, node->inputs[k]);
    }
    for (size_t k = 0; (beside = ingot_model_node_reads(view->side->model, index, k)); k++) {
        cli_page_add(page, "%s", k || node->n_inputs ? "," : "");
        add_input(page, view, beside);
    }
    cli_page_add(page, "],\"u\":[");
    for (size_t k = 0; k < node->n_outputs; k++)
        add_pair(page, !k, node->outputs[k], value_type(view, node->outputs[k], text, sizeof text));
    cli_page_add(page, "],\"a\":[");
    for (size_t a = 0; ingot_model_attribute(view->side->model, index, a, &attribute); a++)
        add_pair(page, !a, attribute.name, cli_attribute_text(&attribute, text, sizeof text));
    cli_page_add(page, "]}");
}

/* An input or output of the graph as a box of its own. */
static void add_end(cli_page *page, const inspect_view *view, const ingot_value_info *info, bool is_input, bool first)
{
    char type[400];
    cli_page_add(page, "%s\n{\"n\":", first ? "" : ",");
    add_text(page, info->name);
    cli_page_add(page, ",\"o\":\"%s\",\"f\":\"\",\"d\":\"\",\"m\":\"\",\"p\":0,\"a\":[],\"i\":[",
                 is_input ? "Input" : "Output");
    if (!is_input)
        add_input(page, view, info->name);
    cli_page_add(page, "],\"u\":[");
    add_pair(page, true, info->name, cli_info_text(info, type, sizeof type));
    cli_page_add(page, "]}");
}

void inspect_add_graph(cli_page *page, const inspect_view *view)
{
    const ingot_model *model = view->side->model;
    cli_page_add(page, "{\"title\":");
    add_text(page, view->title);
    cli_page_add(page, ",\"nodes\":[");
    const size_t n_inputs = ingot_model_n_inputs(model), n = n_inputs + view->side->n_nodes;
    for (size_t i = 0; i < n_inputs; i++)
        add_end(page, view, ingot_model_input(model, i), true, !i);
    for (size_t i = n_inputs; i < n; i++)
        add_node(page, view, i - n_inputs, !i);
    for (size_t i = 0; i < ingot_model_n_outputs(model); i++)
        add_end(page, view, ingot_model_output(model, i), false, !n && !i);
    cli_page_add(page, "]}");
}
