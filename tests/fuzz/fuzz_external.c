/* fuzz_external.c - the resolver of external data: lines of "location", "offset" and "length" for a tensor of 16 bytes.
 * A folder with a file, a folder, links within and links that lead out is made once; nothing but what lies in it may
 * ever be read, and the file outside holds other bytes, which would be seen. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder that is made once, and the model's path in it. */
static char folder[64], model_path[96];

/* Make or overwrite a file; the test's own files must be writable. */
static void write_file(const char *path, const void *data, size_t n)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_CHECK(file >= 0 && write(file, data, n) == (ssize_t)n && !close(file));
}

/* At exit; the links in it are removed, not followed. */
static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command))
        fprintf(stderr, "%s is left behind\n", folder);
}

/* FOLDER/outside is not to be read; FOLDER/in is the model's. The working folder is changed for the links and put
 * back. */
static void make_folder(void)
{
    static const char inside[64] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    char path[128];
    snprintf(folder, sizeof folder, "/tmp/ingot-fuzz-XXXXXX");
    FUZZ_CHECK(mkdtemp(folder));
    atexit(remove_folder);
    /* what must not be read, and the model's folder beside it */
    snprintf(path, sizeof path, "%s/outside", folder);
    write_file(path, "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ", 32);
    snprintf(path, sizeof path, "%s/in", folder);
    const int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(before >= 0 && !mkdir(path, 0700) && !chdir(path));
    write_file("data", inside, sizeof inside);
    FUZZ_CHECK(!mkdir("d", 0700));
    write_file("d/data", inside, sizeof inside);
    /* links to a file and a folder within, to what lies outside, to themselves, and a pipe that nobody writes to */
    FUZZ_CHECK(!symlink("data", "link") && !symlink("../outside", "out") && !symlink("..", "up") &&
               !symlink("d", "down") && !symlink("loop", "loop") && !mkfifo("pipe", 0600) && !fchdir(before) &&
               !close(before));
    snprintf(model_path, sizeof model_path, "%s/in/model.onnx", folder);
}

/* Text up to the next line end as a string of its own, to be freed; data and size move behind it. "" where nothing
 * is left. */
static char *take_line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    const size_t n = end ? (size_t)(end - *data) : *size;
    char *line = malloc(n + 1);
    FUZZ_CHECK(line);
    memcpy(line, *data, n);
    line[n] = 0;
    *data += n + (end != NULL);
    *size -= n + (end != NULL);
    return line;
}

/* Whatever was loaded comes from within: the file outside has Z only, and those inside have none. */
static void check_bytes(const ingot_model *model)
{
    ingot_session *session;
    if (ingot_session_create((ingot_model *)(uintptr_t)model, NULL, &session, NULL))
        return;
    if (!ingot_session_run(session, NULL))
        FUZZ_CHECK(memchr(ingot_session_output(session, 0)->data, 'Z', 16) == NULL);
    ingot_session_free(session);
}

/* A model of one Constant of four INT32, whose data is external in whatever way the lines say: up to three of them,
 * the keys in a fixed order. It is loaded from within the folder, which relative paths start from. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *keys[] = {"location", "offset", "length"};
    Onnx__StringStringEntryProto entries[3], *list[3];
    Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
    Onnx__AttributeProto value = ONNX__ATTRIBUTE_PROTO__INIT, *attributes = &value;
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
    int64_t four = 4;
    size_t n_bytes;
    if (!*folder)
        make_folder();
    /* the tensor, with as many entries as there are lines */
    tensor.n_dims = 1;
    tensor.dims = &four;
    tensor.has_data_type = tensor.has_data_location = true;
    tensor.data_type = INGOT_INT32;
    tensor.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    for (; tensor.n_external_data < 3 && size; tensor.n_external_data++) {
        Onnx__StringStringEntryProto *entry = list[tensor.n_external_data] = &entries[tensor.n_external_data];
        onnx__string_string_entry_proto__init(entry);
        entry->key = keys[tensor.n_external_data];
        entry->value = take_line(&data, &size);
    }
    tensor.external_data = list;
    /* the Constant around it, written to the folder and loaded from there */
    value.name = "value";
    value.has_type = true;
    value.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    value.t = &tensor;
    node.op_type = "Constant";
    node.n_attribute = 1;
    node.attribute = &attributes;
    uint8_t *bytes = fuzz_one_node(&node, 0, NULL, NULL, &n_bytes);
    write_file(model_path, bytes, n_bytes);
    ingot_model *model;
    if (!ingot_model_load(model_path, NULL, &model, NULL))
        check_bytes(model);
    ingot_model_free(model);
    free(bytes);
    for (size_t i = 0; i < tensor.n_external_data; i++)
        free(entries[i].value);
    return 0;
}
