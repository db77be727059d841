/* image_library.c - opening the libraries that decode pictures. What is found never changes again, like the tables that
 * the dynamic linker itself makes. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "ops/image.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Every function by its name. The library stays loaded. False: it is not installed, or is too old for one of the
 * functions; then nothing of it is kept. dlsym() gives a pointer to an object, which C can only copy into one to a
 * function. */
static bool find_functions(ingot_library *library)
{
    void *handle = dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; handle && i < library->n; i++) {
        void *function = dlsym(handle, library->names[i]);
        if (!function) {
            dlclose(handle);
            return false;
        }
        memcpy((char *)library->functions + i * sizeof function, &function, sizeof function);
    }
    return handle != NULL;
}

/* Under a lock, since sessions of several threads may meet their first picture at once. A failure is tried again next
 * time. */
ingot_status ingot_open_library(ingot_op_ctx *c, ingot_library *library)
{
    pthread_mutex_lock(&lock);
    if (!library->is_open)
        library->is_open = find_functions(library);
    const bool is_open = library->is_open;
    pthread_mutex_unlock(&lock);
    return is_open ? INGOT_OK
                   : ingot_op_fail(c, INGOT_UNSUPPORTED, "the picture needs %s, which is not installed",
                                   library->soname);
}
