/* model_file.h - a model's files, which stay open and are read piece by piece when a piece is needed. They are never
 * mapped: a mapping of a file that is cut short ends the process that looks at it, while a read only fails. */
#ifndef INGOT_CORE_MODEL_FILE_H
#define INGOT_CORE_MODEL_FILE_H

#include <stdatomic.h>
#include <time.h>

#include "engine/core/status.h"

/* An open file. A failed read is not told to each reader: it is kept, and ingot_files_check() tells it before anything
 * that was made of the bytes is used. */
typedef struct ingot_file {
    const char *name;              /* for error lines; "" for the model itself */
    int descriptor;
    uint64_t size_bytes;           /* when it was opened, as is the time of its last change */
    struct timespec modified;
    _Atomic bool was_read;         /* since it was looked at last */
    _Atomic int failed;            /* errno of the first read that failed, for good; ESTALE: it has changed */
    struct ingot_file *next;
} ingot_file;

/* Bytes in memory, or in an open file (data NULL). */
typedef struct ingot_content {
    const uint8_t *data;
    ingot_file *file;
    uint64_t size_bytes;
} ingot_content;

/* Look at an open descriptor, which becomes the file's where this succeeds. False with errno; EINVAL: no regular
 * file. */
bool ingot_file_open(ingot_file *file, int descriptor);

/* Bytes [offset, offset + n) to dst; zeros where they cannot be had. Threads: any. */
bool ingot_file_read(ingot_file *file, uint64_t offset, void *dst, size_t n);

/* Did all reads so far give what the files held when they were opened? INGOT_IO and a line if not. */
ingot_status ingot_files_check(ingot_file *first, ingot_error *error);

#endif
