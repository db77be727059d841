/* faults.c - to be preloaded: the K-th call of NAME fails with errno ERRNO, as INGOT_FAULT="NAME K ERRNO" says. Calls
 * of the dynamic linker and those inside of libc are not seen. With ERRNO 0 a write is short instead: half of it is
 * done; and a pread() finds the end of the file. NAME "malloc" stands for every way to allocate, of calls from the
 * program itself. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Is it this call's turn? Sets errno. The environment is read at the first call; calls of the name are counted down. */
static int fails(const char *name)
{
    static char wanted[32];
    static long left = -1;
    static int code;
    if (left < 0) {
        const char *fault = getenv("INGOT_FAULT");
        left = 0;
        if (fault && sscanf(fault, "%31s %ld %d", wanted, &left, &code) != 3)
            left = 0;
    }
    if (strcmp(name, wanted) || left <= 0 || --left > 0)
        return 0;
    errno = code;
    return 1;
}

/* The function behind this one: the next of its name in the order of the loaded libraries. */
#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

/* The mode is there only when a file may be created. */
int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails("open") ? -1 : REAL(open)(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails("open") ? -1 : REAL(openat)(folder, path, flags, mode);
}

int fstat(int file, struct stat *info) { return fails("fstat") ? -1 : REAL(fstat)(file, info); }

ssize_t read(int file, void *data, size_t n) { return fails("read") ? -1 : REAL(read)(file, data, n); }

/* With ERRNO 0 it is as if the file ended there. */
ssize_t pread(int file, void *data, size_t n, off_t offset)
{
    return fails("pread") ? errno ? -1 : 0 : REAL(pread)(file, data, n, offset);
}

/* Output on the standard streams is left alone, as a failure is told there. */
ssize_t write(int file, const void *data, size_t n)
{
    if (file <= 2 || !fails("write"))
        return REAL(write)(file, data, n);
    return errno ? -1 : REAL(write)(file, data, (n + 1) / 2);
}

/* The file is closed all the same, as Linux does it where close() fails. */
int close(int file) { return fails("close") ? (REAL(close)(file), -1) : REAL(close)(file); }

/* openat2, which libc has no function for; others pass. All six arguments are handed on, whatever the call takes. */
long syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_openat2 && fails("openat2"))
        return -1;
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int fsync(int file) { return fails("fsync") ? -1 : REAL(fsync)(file); }

int rename(const char *from, const char *to) { return fails("rename") ? -1 : REAL(rename)(from, to); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    return fails("pthread_create") ? EAGAIN : REAL(pthread_create)(thread, attributes, body, argument);
}

/* The program's own code, from start to end; dl_iterate_phdr() has the program before its libraries. */
static int find_program(struct dl_phdr_info *info, size_t size, void *range)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            ((uintptr_t *)range)[0] = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            ((uintptr_t *)range)[1] = ((uintptr_t *)range)[0] + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

/* Once exit() is called nothing fails any more: what a compiler's runtime saves then, as counters of coverage, is not
 * the program's own. */
static int is_over;
static void end(void) { is_over = 1; }

/* Does an allocation fail that is called from there? Libraries' own are left alone: OpenMP's ends the process. */
static int allocation_fails(const void *caller)
{
    static uintptr_t range[2];
    static int is_watched;
    if (!range[1])
        dl_iterate_phdr(find_program, range);
    if (is_over || (uintptr_t)caller - range[0] >= range[1] - range[0])
        return 0;
    if (!is_watched++) /* only now, as what was registered last is called first */
        atexit(end);
    return fails("malloc");
}

/* libc's names for what is replaced here; dlsym() would allocate by itself. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

#define CALLER __builtin_return_address(0)
void *malloc(size_t n) { return allocation_fails(CALLER) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return allocation_fails(CALLER) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return allocation_fails(CALLER) ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t alignment, size_t n)
{
    return allocation_fails(CALLER) ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **p, size_t alignment, size_t n)
{
    if (allocation_fails(CALLER) || !(*p = __libc_memalign(alignment, n)))
        return ENOMEM;
    return 0;
}

char *strdup(const char *text) { return allocation_fails(CALLER) ? NULL : REAL(strdup)(text); }

char *strndup(const char *text, size_t n) { return allocation_fails(CALLER) ? NULL : REAL(strndup)(text, n); }
