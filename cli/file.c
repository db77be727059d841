/* file.c - whole files in and out. What is read is read, not mapped: a file that shrinks meanwhile must not end us. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Letters count the same in either case: .PNG is a .png. */
bool cli_has_suffix(const char *path, const char *suffix)
{
    const size_t n = strlen(path), m = strlen(suffix);
    return n >= m && !strcasecmp(path + n - m, suffix);
}

/* Read to the end, growing the buffer; `expected` is what the file said of its size. */
static ingot_status read_all(int fd, const char *path, size_t expected, uint8_t **data, size_t *size_bytes,
                             ingot_error *error)
{
    size_t capacity = expected + 1, used = 0;
    uint8_t *buffer = malloc(capacity);
    while (buffer) {
        if (used == capacity) {
            uint8_t *larger = capacity <= SIZE_MAX / 2 ? realloc(buffer, capacity *= 2) : NULL;
            if (!larger)
                break;
            buffer = larger;
        }
        const ssize_t n = read(fd, buffer + used, capacity - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(buffer);
            return cli_fail_file(error, INGOT_IO, path, "cannot read it: %s", strerror(errno));
        }
        if (!n) {
            *data = buffer;
            *size_bytes = used;
            return INGOT_OK;
        }
        used += (size_t)n;
        if (used > cli_limit_bytes())
            break;
    }
    free(buffer);
    return cli_fail_file(error, INGOT_LIMIT, path, "the file does not fit memory");
}

/* Regular files and pipes; a device may never end, a folder has no bytes. */
ingot_status cli_read_file(const char *path, uint8_t **data, size_t *size_bytes, ingot_error *error)
{
    struct stat about;
    ingot_status st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail_file(error, INGOT_IO, path, "cannot open it: %s", strerror(errno));
    if (fstat(fd, &about))
        st = cli_fail_file(error, INGOT_IO, path, "cannot read it: %s", strerror(errno));
    else if (!S_ISREG(about.st_mode) && !S_ISFIFO(about.st_mode))
        st = cli_fail_file(error, INGOT_IO, path, "neither a regular file nor a pipe");
    else if (about.st_size < 0 || (uint64_t)about.st_size > cli_limit_bytes())
        st = cli_fail_file(error, INGOT_LIMIT, path, "%lld bytes are over the limit", (long long)about.st_size);
    else
        st = read_all(fd, path, S_ISREG(about.st_mode) ? (size_t)about.st_size : 65535, data, size_bytes, error);
    close(fd);
    return st;
}

/* n bytes from `start` on, into data, which has room for them. A file that has fewer is INGOT_IO. */
ingot_status cli_read_range(const char *path, uint64_t start, size_t n, uint8_t *data, ingot_error *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 1;
    if (fd < 0)
        return cli_fail_file(error, INGOT_IO, path, "cannot open it: %s", strerror(errno));
    while (used < n && got > 0) {
        got = pread(fd, data + used, n - used, (off_t)(start + used));
        used += got > 0 ? (size_t)got : 0;
        got = got < 0 && errno == EINTR ? 1 : got;
    }
    close(fd);
    return used == n ? INGOT_OK : cli_fail_file(error, INGOT_IO, path, "cannot read %zu bytes of it", n);
}

/* All of it, whatever the system takes at a time. */
static bool write_all(int fd, const uint8_t *data, size_t n)
{
    while (n) {
        const ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        n -= (size_t)done;
    }
    return true;
}

/* Where to write: a file beside the one it will replace, whose name temporary receives. What is there and no regular
 * file, as /dev/stdout, is written to itself: temporary is "". -1 with errno. */
static int open_output(const char *path, char *temporary, size_t capacity)
{
    struct stat about;
    *temporary = 0;
    if (!stat(path, &about) && !S_ISREG(about.st_mode))
        return open(path, O_WRONLY | O_CLOEXEC);
    if (snprintf(temporary, capacity, "%s.%ld.tmp", path, (long)getpid()) >= (int)capacity) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

/* The parts are written one after the other, so that a header needs no copy of the data. A full disk or a kill leaves
 * the old file or none: the name changes when all bytes are there, and errors that only syncing or closing shows
 * count. */
ingot_status cli_write_file(const char *path, const cli_bytes *parts, size_t n_parts, ingot_error *error)
{
    char temporary[PATH_MAX];
    const int fd = open_output(path, temporary, sizeof temporary);
    if (fd < 0)
        return cli_fail_file(error, INGOT_IO, path, "cannot create it: %s", strerror(errno));
    bool written = true;
    for (size_t i = 0; i < n_parts && written; i++)
        written = write_all(fd, parts[i].data, parts[i].size_bytes);
    written = written && (!*temporary || !fsync(fd));
    int why = errno;
    if (close(fd) && written) {
        written = false;
        why = errno;
    }
    if (written && (!*temporary || !rename(temporary, path)))
        return INGOT_OK;
    why = written ? errno : why;
    if (*temporary)
        unlink(temporary);
    return cli_fail_file(error, INGOT_IO, path, "cannot write it: %s", strerror(why));
}

/* The folder and those above it, as mkdir -p does. */
ingot_status cli_make_folder(const char *path, ingot_error *error)
{
    struct stat about;
    char *copy = strdup(path);
    if (!copy || !*copy) {
        free(copy);
        return cli_fail(error, *path ? INGOT_LIMIT : INGOT_USAGE, *path ? "out of memory" : "the folder has no name");
    }
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(copy, 0777); /* what fails here shows below */
        *slash = '/';
    }
    int why = mkdir(copy, 0777) ? errno : 0;
    if (why == EEXIST && !stat(copy, &about) && S_ISDIR(about.st_mode))
        why = 0;
    free(copy);
    return why ? cli_fail_file(error, INGOT_IO, path, "cannot create the folder: %s", strerror(why)) : INGOT_OK;
}
