/* external.c - the one place that opens files: the model's own and those of external data.
 *
 * A model comes from elsewhere, so the locations it names are not trusted. External data is a regular file beneath
 * the model's folder (or beneath the folder that the caller allows besides); neither "..", nor an absolute path, nor
 * a symbolic link leads out of it. The kernel checks this while it resolves the path (openat2 with RESOLVE_BENEATH),
 * which leaves no moment between check and use. Where it cannot, open_each() goes down by hand and follows no link
 * at all.
 *
 * Each file is mapped once, however many tensors lie in it, and stays mapped until the model is closed. */
#include "onnx/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK }; /* a pipe without writer must not block */

/* Remember a file's bytes: the newest comes first. data is unmapped by ingot_unmap_all() if is_mapped. location NULL:
 * the model's own bytes. NULL when memory is out: the caller then gives the bytes back. */
static ingot_mapping *add_mapping(ingot_onnx *onnx, const char *location, const void *data, size_t size_bytes,
                                  bool is_mapped)
{
    ingot_mapping *mapping = ingot_arena_alloc(&onnx->arena, sizeof *mapping);
    if (!mapping)
        return NULL;
    *mapping = (ingot_mapping){.data = data, .size_bytes = size_bytes, .is_mapped = is_mapped, .next = onnx->mappings};
    if (location && !(mapping->location = ingot_arena_string(&onnx->arena, location, strlen(location))))
        return NULL;
    onnx->mappings = mapping;
    return mapping;
}

/* The whole file into counted memory; NULL with errno. A file that ends before its size is one that shrinks meanwhile.
 * Signals that interrupt a read are no failure. */
static void *read_file(ingot_onnx *onnx, int file, size_t size_bytes)
{
    uint8_t *data = ingot_alloc(onnx->memory, size_bytes);
    size_t used = 0;
    errno = ENOMEM;
    while (data && used < size_bytes) {
        const ssize_t n = read(file, data + used, size_bytes - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            const int failed = n ? errno : ESTALE;
            ingot_release(onnx->memory, data);
            errno = failed;
            return NULL;
        }
        used += (size_t)n;
    }
    return data;
}

/* The bytes of an open file, mapped or read as the option says; NULL with errno. MAP_PRIVATE and read-only: nothing
 * here ever writes to the file. A file that is cut short while it is mapped would raise SIGBUS, which is what no_mmap
 * is for. */
static void *take_file(ingot_onnx *onnx, int file, size_t size_bytes)
{
    if (onnx->no_mmap)
        return read_file(onnx, file, size_bytes);
    void *data = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, file, 0);
    return data == MAP_FAILED ? NULL : data;
}

/* The counterpart of take_file(), by the same option. */
static void give_back(ingot_onnx *onnx, void *data, size_t size_bytes)
{
    if (onnx->no_mmap)
        ingot_release(onnx->memory, data);
    else
        munmap(data, size_bytes);
}

/* Take the open file's bytes and close it. `file` is closed in every case. fstat() is asked of the open file, so that
 * what is checked is what is mapped. */
static ingot_status map_file(ingot_onnx *onnx, int file, const char *location, const ingot_mapping **result,
                             ingot_error *error)
{
    struct stat info;
    void *data = NULL;
    const int failed = fstat(file, &info) ? errno : 0;
    if (!failed && S_ISREG(info.st_mode) && info.st_size > 0)
        data = take_file(onnx, file, (size_t)info.st_size);
    const int reading_failed = errno;
    close(file);
    if (failed)
        return ingot_fail(error, INGOT_IO, "%s", strerror(failed));
    if (!S_ISREG(info.st_mode))
        return ingot_fail(error, INGOT_IO, "not a regular file");
    if (!info.st_size)
        return ingot_fail(error, INGOT_INVALID, "the file is empty");
    if (!data)
        return ingot_fail(error, onnx->no_mmap && reading_failed == ENOMEM ? INGOT_LIMIT : INGOT_IO,
                          "cannot be read: %s", strerror(reading_failed));
    ingot_mapping *mapping = add_mapping(onnx, location, data, (size_t)info.st_size, !onnx->no_mmap);
    *result = mapping;
    if (!mapping) {
        give_back(onnx, data, (size_t)info.st_size);
        return ingot_fail(error, INGOT_LIMIT, "out of memory while reading the model");
    }
    mapping->is_read = onnx->no_mmap;
    return INGOT_OK;
}

/* Bytes of the caller's are used where they are. The model's own mapping is made first, so it is the only one in
 * onnx->mappings when this returns. */
ingot_status ingot_map_model(ingot_onnx *onnx, const void *data, size_t size_bytes, ingot_error *error)
{
    const ingot_mapping *ignored;
    if (!onnx->path) {
        if (!data || !size_bytes)
            return ingot_fail(error, INGOT_INVALID, "there is no data");
        return add_mapping(onnx, NULL, data, size_bytes, false) ? INGOT_OK
                                                                : ingot_fail(error, INGOT_LIMIT, "out of memory");
    }
    const int file = open(onnx->path, OPEN_FLAGS);
    if (file < 0)
        return ingot_fail(error, INGOT_IO, "%s", strerror(errno));
    return map_file(onnx, file, NULL, &ignored, error);
}

/* Lazy constants point into the mappings, so this comes last of all when a model is closed. */
void ingot_unmap_all(ingot_onnx *onnx)
{
    for (const ingot_mapping *m = onnx->mappings; m; m = m->next)
        if (m->is_mapped || m->is_read)
            give_back(onnx, (void *)m->data, m->size_bytes);
    onnx->mappings = NULL;
}

/* Open component by component without following any link, for systems without openat2. Returns a descriptor, or -1 with
 * errno. ".." and links are refused. The folder's own descriptor stays open. */
static int open_each(int folder, const char *location)
{
    int at = dup(folder);
    while (at >= 0) {
        const size_t length = strcspn(location, "/");
        char part[NAME_MAX + 1];
        int next = -1;
        errno = ELOOP;
        if (length && length <= NAME_MAX && !(length == 2 && !memcmp(location, "..", 2))) {
            memcpy(part, location, length);
            part[length] = 0;
            next = openat(at, part, OPEN_FLAGS | O_NOFOLLOW | (location[length] ? O_DIRECTORY : 0));
        }
        const int failed = errno;
        close(at);
        errno = failed;
        at = next;
        location += length + strspn(location + length, "/");
        if (!*location)
            break;
    }
    return at;
}

/* The file that location names within the open folder, or -1 with errno: EXDEV when it lies outside. openat2 came with
 * Linux 5.6; a sandbox may answer EPERM to calls it does not know. */
static int open_beneath(int folder, const char *location)
{
    const struct open_how how = {.flags = (uint64_t)OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    if (*location == '/') {
        errno = EXDEV;
        return -1;
    }
    const int file = (int)syscall(SYS_openat2, folder, location, &how, sizeof how);
    if (file >= 0 || (errno != ENOSYS && errno != EPERM))
        return file;
    return open_each(folder, location);
}

/* The folder of the model's path, opened. A path without a slash is in the current folder. -1 with errno. */
static int open_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, path, length);
    folder[length] = 0;
    return open(length ? folder : ".", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
}

/* The location beneath the allowed folder, either named from there, or where a link in the model's folder leads.
 * realpath() only finds the name to ask for: the file is opened beneath the allowed folder again, so a link that
 * changes in between leads nowhere. -1 with errno. */
static int open_in_root(const ingot_onnx *onnx, const char *location)
{
    char path[PATH_MAX], target[PATH_MAX], root[PATH_MAX];
    const int folder = open(onnx->external_root, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (folder < 0)
        return -1;
    int file = open_beneath(folder, location);
    const char *slash = strrchr(onnx->path, '/');
    const size_t length = slash ? (size_t)(slash - onnx->path) + 1 : 0;
    if (file < 0 && length + strlen(location) < sizeof path && realpath(onnx->external_root, root)) {
        memcpy(path, onnx->path, length);
        strcpy(path + length, location);
        const size_t root_length = strlen(root);
        if (realpath(path, target) && !strncmp(target, root, root_length) && target[root_length] == '/')
            file = open_beneath(folder, target + root_length + 1);
    }
    const int failed = errno;
    close(folder);
    errno = failed;
    return file;
}

/* The mapping of a location, made now if this is the first tensor in it. A linear search: files are few. The error of
 * the model's folder is the one that is told, since that is where a file is expected. */
static ingot_status find_mapping(ingot_reader *reader, const char *location, const ingot_mapping **mapping)
{
    ingot_onnx *onnx = reader->onnx;
    for (*mapping = onnx->mappings; *mapping; *mapping = (*mapping)->next)
        if ((*mapping)->location && !strcmp((*mapping)->location, location))
            return INGOT_OK;
    if (!onnx->path)
        return ingot_fail(reader->error, INGOT_INVALID, "a model in memory cannot have external data");
    /* The folder is opened for each new file and closed again: files are few. */
    const int folder = open_folder(onnx->path);
    if (folder < 0)
        return ingot_fail(reader->error, INGOT_IO, "the model's folder: %s", strerror(errno));
    int file = open_beneath(folder, location);
    const int failed = errno;
    close(folder);
    if (file < 0 && onnx->external_root)
        file = open_in_root(onnx, location);
    if (file >= 0)
        return map_file(onnx, file, location, mapping, reader->error);
    if (failed == EXDEV || failed == ELOOP)
        return ingot_fail(reader->error, INGOT_INVALID, "a path or link that leads outside of the model's folder "
                                                        "(--external-data-root allows another one)");
    return ingot_fail(reader->error, INGOT_IO, "%s", strerror(failed));
}

/* A decimal number without sign. False for an empty text, anything but digits, or more than 64 bits hold. */
static bool parse_number(const char *text, uint64_t *number)
{
    *number = 0;
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(*number, 10u, number) ||
            __builtin_add_overflow(*number, (uint64_t)(*text - '0'), number))
            return false;
    return true;
}

/* The keys are those of onnx.proto; a checksum is not looked at. offset + length may not wrap or pass the file's end.
 * *data stays valid until the model is closed. A tensor without elements needs no file, and gets a pointer that is
 * never followed. */
ingot_status ingot_external_data(ingot_reader *reader, const Onnx__TensorProto *proto, size_t size_bytes,
                                 const uint8_t **data)
{
    const char *location = "";
    uint64_t offset = 0, length = size_bytes;
    const ingot_mapping *mapping;
    /* Entries may come in any order; of one key given twice the last holds. */
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        const char *key = entry->key ? entry->key : "", *value = entry->value ? entry->value : "";
        uint64_t *number = !strcmp(key, "offset") ? &offset : !strcmp(key, "length") ? &length : NULL;
        if (number && !parse_number(value, number))
            return ingot_fail(reader->error, INGOT_INVALID, "external data: %s '%s' is not a number", key, value);
        if (!strcmp(key, "location"))
            location = value;
    }
    if (!*location)
        return ingot_fail(reader->error, INGOT_INVALID, "external data without a location");
    if (length != size_bytes)
        return ingot_fail(reader->error, INGOT_INVALID, "external data: length is %llu, type and shape take %zu bytes",
                          (unsigned long long)length, size_bytes);
    static const uint8_t nothing[16];
    *data = nothing;
    if (!size_bytes)
        return INGOT_OK;
    const ingot_status status = find_mapping(reader, location, &mapping);
    if (status) {
        ingot_error_prefix(reader->error, "external data '%s'", location);
        return status;
    }
    /* Written so that no sum can overflow. */
    if (offset > mapping->size_bytes || size_bytes > mapping->size_bytes - offset)
        return ingot_fail(reader->error, INGOT_INVALID, "external data '%s' has %zu bytes, the tensor takes %zu from "
                          "byte %llu on", location, mapping->size_bytes, size_bytes, (unsigned long long)offset);
    *data = mapping->data + offset;
    return INGOT_OK;
}
