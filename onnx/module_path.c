/* module_path.c - which PyTorch module a node comes from. torch.onnx leaves it in one of two places:
 *
 *   - metadata_props (the dynamo exporter): pkg.torch.onnx.name_scopes is the text of a Python list, such as
 *     "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']": whole paths from the outermost module in, then the
 * call.
 *   - the node's name (the TorchScript exporter): "/layer1/layer1.0/conv1/Conv". An item of a container repeats the
 *     container's own name, so that "layer1.0" behind "layer1" stands for one step and not for two. */
#include "onnx/reader.h"

#include <string.h>

#include "onnx/wire.h"

/* Copy the last but one quoted item of a Python list to `path`, which has room for all of it: the last is the call.
 * Quotes within an item are not looked for: module names have none. An unfinished item ends the list. */
static void read_scopes(const char *list, char *path)
{
    const char *item = NULL, *before = NULL;
    size_t n = 0, n_before = 0;
    for (const char *at = list; *at;) {
        const char quote = *at++;
        if (quote != '\'' && quote != '"')
            continue;
        const char *end = strchr(at, quote);
        if (!end)
            break;
        before = item;
        n_before = n;
        item = at;
        n = (size_t)(end - at);
        at = end + 1;
    }
    if (before)
        memcpy(path, before, n_before);
    path[before ? n_before : 0] = 0;
}

/* The same from a name of slashes; `path` has room for all of it. The last part, the operator, is left out. The path is
 * never longer than the name, as each part is copied at most once with a dot in place of its slash. */
static void read_name(const char *name, char *path)
{
    size_t used = 0, last = 0; /* `last`: where the newest part starts in path */
    path[0] = 0;
    for (const char *part = name + 1, *end; (end = strchr(part, '/')); part = end + 1) {
        const size_t n = (size_t)(end - part), n_last = used - last;
        const bool is_item = used && n > n_last && part[n_last] == '.' && !memcmp(part, path + last, n_last);
        if (is_item)
            used = last;
        else if (used)
            path[used++] = '.';
        last = used;
        memcpy(path + used, part, n);
        path[used += n] = 0;
    }
}

/* Metadata goes before the name. The text is the arena's; false when memory is out. */
bool ingot_module_path(ingot_arena *arena, const Onnx__NodeProto *proto, const char **path)
{
    const char *scopes = NULL, *name = proto->name ? proto->name : "";
    for (size_t i = 0; i < proto->n_metadata_props && !scopes; i++)
        if (proto->metadata_props[i]->key && !strcmp(proto->metadata_props[i]->key, INGOT_NAME_SCOPES))
            scopes = proto->metadata_props[i]->value;
    *path = NULL;
    if (!scopes && *name != '/')
        return true;
    char *text = ingot_arena_alloc(arena, strlen(scopes ? scopes : name) + 1);
    if (!text)
        return false;
    if (scopes)
        read_scopes(scopes, text);
    else
        read_name(name, text);
    *path = text;
    return true;
}
