/* external.c - the one place that opens files: the model's own and those of external data.
 *
 * A model comes from elsewhere, so the locations it names are not trusted. External data is a regular file beneath
 * the model's folder (or beneath the folder that the caller allows besides); neither "..", nor an absolute path, nor
 * a symbolic link leads out of it. The kernel checks this while it resolves the path (openat2 with RESOLVE_BENEATH),
 * which leaves no moment between check and use. Where it cannot, open_each() goes down by hand and follows no link
 * at all.
 *
 * Each file is opened once, however many tensors lie in it. A small one is read at once; a large one stays open, and is
 * read piece by piece as weights are packed, which takes no memory besides. */
#include "onnx/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What openat2() takes. Source: the kernel's linux/openat2.h, which not every libc comes with. */
typedef struct open_how {
    uint64_t flags, mode, resolve;
} open_how;
enum { RESOLVE_NO_MAGICLINKS = 0x02, RESOLVE_BENEATH = 0x08 };

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK }; /* a pipe without writer must not block */

/* Files up to this size are read at once: their pieces would cost as many calls. */
enum { SMALL_FILE_BYTES = 1 << 20 };

/* Remember a source: the newest comes first. location NULL: the model's own bytes. NULL when memory is out. */
static ingot_source *add_source(ingot_onnx *onnx, const char *location)
{
    ingot_source *source = ingot_arena_alloc(&onnx->arena, sizeof *source);
    if (!source || (location && !(location = ingot_arena_string(&onnx->arena, location, strlen(location)))))
        return NULL;
    source->location = location;
    source->file.name = location ? location : "";
    source->file.descriptor = -1;
    source->next = onnx->sources;
    return onnx->sources = source;
}

/* The whole file into counted memory, after which it is closed. */
static ingot_status read_all(ingot_onnx *onnx, ingot_source *source, ingot_error *error)
{
    ingot_file *file = &source->file;
    ingot_status status = INGOT_OK;
    if (file->size_bytes > PTRDIFF_MAX || !(source->owned = ingot_alloc(onnx->memory, (size_t)file->size_bytes)))
        status = ingot_fail(error, INGOT_LIMIT, "out of memory while reading the model");
    if (!status)
        ingot_file_read(file, 0, source->owned, (size_t)file->size_bytes);
    if (!status && file->failed && file->failed != ESTALE)
        status = ingot_fail(error, INGOT_IO, "cannot be read: %s", strerror(file->failed));
    if (!status && ingot_files_check(file, NULL))
        status = ingot_fail(error, INGOT_IO, "the file changed while it was read");
    close(file->descriptor);
    file->descriptor = -1;
    source->content = (ingot_content){.data = source->owned, .size_bytes = file->size_bytes};
    return status;
}

/* The source takes the open descriptor, which is closed in every case of failure. What is checked is asked of the open
 * file, so that it is what is read. */
static ingot_status open_source(ingot_onnx *onnx, int descriptor, const char *location, const ingot_source **result,
                                ingot_error *error)
{
    ingot_source *source = add_source(onnx, location);
    ingot_status status = INGOT_OK;
    *result = source;
    if (!source)
        status = ingot_fail(error, INGOT_LIMIT, "out of memory while reading the model");
    else if (!ingot_file_open(&source->file, descriptor))
        status = ingot_fail(error, INGOT_IO, "%s", errno == EINVAL ? "not a regular file" : strerror(errno));
    else if (!source->file.size_bytes)
        status = ingot_fail(error, INGOT_INVALID, "the file is empty");
    if (status) {
        close(descriptor);
        if (source)
            source->file.descriptor = -1;
        return status;
    }
    if (onnx->no_mmap || source->file.size_bytes <= SMALL_FILE_BYTES)
        return read_all(onnx, source, error);
    source->content = (ingot_content){.file = &source->file, .size_bytes = source->file.size_bytes};
    source->file.next = onnx->files;
    onnx->files = &source->file;
    return INGOT_OK;
}

/* Bytes of the caller's are used where they are. The model's own source is made first, so it is the only one in
 * onnx->sources when this returns. */
ingot_status ingot_open_model(ingot_onnx *onnx, const void *data, size_t size_bytes, ingot_error *error)
{
    const ingot_source *ignored;
    if (!onnx->path) {
        if (!data || !size_bytes)
            return ingot_fail(error, INGOT_INVALID, "there is no data");
        ingot_source *source = add_source(onnx, NULL);
        if (!source)
            return ingot_fail(error, INGOT_LIMIT, "out of memory");
        source->content = (ingot_content){.data = data, .size_bytes = size_bytes};
        return INGOT_OK;
    }
    const int file = open(onnx->path, OPEN_FLAGS);
    if (file < 0)
        return ingot_fail(error, INGOT_IO, "%s", strerror(errno));
    return open_source(onnx, file, NULL, &ignored, error);
}

/* Lazy constants are read from the sources, so this comes last of all when a model is closed. */
void ingot_close_sources(ingot_onnx *onnx)
{
    for (const ingot_source *source = onnx->sources; source; source = source->next) {
        if (source->file.descriptor >= 0)
            close(source->file.descriptor);
        ingot_release(onnx->memory, source->owned);
    }
    onnx->sources = NULL;
    onnx->files = NULL;
}

/* The next folder of a path, or its file where `more` is false: -1 with errno, ELOOP for a link. Where a folder is
 * asked for, the kernel calls a link no folder, which would not tell what is wrong. */
static int open_part(int at, const char *part, bool more)
{
    struct stat found;
    const int next = openat(at, part, OPEN_FLAGS | O_NOFOLLOW | (more ? O_DIRECTORY : 0));
    if (next < 0 && errno == ENOTDIR)
        errno = !fstatat(at, part, &found, AT_SYMLINK_NOFOLLOW) && S_ISLNK(found.st_mode) ? ELOOP : ENOTDIR;
    return next;
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
            next = open_part(at, part, location[length] != 0);
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
    const open_how how = {.flags = (uint64_t)OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
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

/* The source of a location, opened now if this is the first tensor in it. A linear search: files are few. The error of
 * the model's folder is the one that is told, since that is where a file is expected. */
static ingot_status find_source(ingot_reader *reader, const char *location, const ingot_source **source)
{
    ingot_onnx *onnx = reader->onnx;
    for (*source = onnx->sources; *source; *source = (*source)->next)
        if ((*source)->location && !strcmp((*source)->location, location))
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
        return open_source(onnx, file, location, source, reader->error);
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
 * *content stays valid until the model is closed. A tensor without elements needs no file, and gets content that is
 * never looked at. */
ingot_status ingot_external_data(ingot_reader *reader, const Onnx__TensorProto *proto, size_t size_bytes,
                                 const ingot_content **content, uint64_t *from)
{
    const char *location = "";
    uint64_t offset = 0, length = size_bytes;
    const ingot_source *source;
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
    static const ingot_content no_content = {.data = nothing};
    *content = &no_content;
    *from = 0;
    if (!size_bytes)
        return INGOT_OK;
    const ingot_status status = find_source(reader, location, &source);
    if (status) {
        ingot_error_prefix(reader->error, "external data '%s'", location);
        return status;
    }
    /* Written so that no sum can overflow. */
    const uint64_t available = source->content.size_bytes;
    if (offset > available || size_bytes > available - offset)
        return ingot_fail(reader->error, INGOT_INVALID, "external data '%s' has %llu bytes, the tensor takes %zu from "
                          "byte %llu on", location, (unsigned long long)available, size_bytes,
                          (unsigned long long)offset);
    *content = &source->content;
    *from = offset;
    return INGOT_OK;
}
