/* model_file.c - reads at a position, so that threads share a descriptor.
 *
 * A file that is written to while a model uses it would give weights of two models. That cannot be prevented, but it
 * is seen: size and time of change are compared after reading, and what was read since is not used then. A file that
 * was replaced or removed is no trouble, as the descriptor keeps what it was. */
#include "engine/core/model_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The descriptor is not closed after a failure. */
bool ingot_file_open(ingot_file *file, int descriptor)
{
    struct stat info;
    if (fstat(descriptor, &info))
        return false;
    if (!S_ISREG(info.st_mode)) {
        errno = EINVAL;
        return false;
    }
    file->descriptor = descriptor;
    file->size_bytes = (uint64_t)info.st_size;
    file->modified = info.st_mtim;
    return true;
}

/* Signals that interrupt a read are no failure; an end before the file's size is one, as the file was longer. */
bool ingot_file_read(ingot_file *file, uint64_t offset, void *dst, size_t n)
{
    size_t used = 0;
    atomic_store_explicit(&file->was_read, true, memory_order_relaxed);
    while (used < n) {
        const ssize_t got = pread(file->descriptor, (char *)dst + used, n - used, (off_t)(offset + used));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int none = 0;
            atomic_compare_exchange_strong(&file->failed, &none, got ? errno : ESTALE);
            memset((char *)dst + used, 0, n - used);
            return false;
        }
        used += (size_t)got;
    }
    return true;
}

/* Has it changed? Asked only after reads; a file that was found changed stays so. */
static void look(ingot_file *file)
{
    struct stat info;
    int none = 0;
    if (!atomic_exchange(&file->was_read, false))
        return;
    if (fstat(file->descriptor, &info))
        atomic_compare_exchange_strong(&file->failed, &none, errno);
    else if ((uint64_t)info.st_size != file->size_bytes || info.st_mtim.tv_sec != file->modified.tv_sec ||
             info.st_mtim.tv_nsec != file->modified.tv_nsec)
        atomic_compare_exchange_strong(&file->failed, &none, ESTALE);
}

/* Files are few, and most calls find that nothing was read since the last. */
ingot_status ingot_files_check(ingot_file *first, ingot_error *error)
{
    for (ingot_file *file = first; file; file = file->next) {
        look(file);
        const int failed = atomic_load(&file->failed);
        if (failed == ESTALE)
            return ingot_fail(error, INGOT_IO, "%s%s%sthe file has changed since it was opened",
                              *file->name ? "external data '" : "", file->name, *file->name ? "': " : "");
        if (failed)
            return ingot_fail(error, INGOT_IO, "%s%s%scannot be read: %s", *file->name ? "external data '" : "",
                              file->name, *file->name ? "': " : "", strerror(failed));
    }
    return INGOT_OK;
}
