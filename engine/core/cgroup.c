/* cgroup.c - limits of control groups, versions 1 and 2.
 *
 * /proc/self/cgroup names the group for each controller ("4:cpu,cpuacct:/a/b", and "0::/a/b" for version 2). A limit
 * may be set at any level, so all are asked, from /a/b up to the root; in a container the path may not be there, but
 * the root is the container's own. Source: the kernel's documentation of cgroup v1 (cpu.cfs_quota_us,
 * memory.limit_in_bytes) and v2 (cpu.max, memory.max). */
#include "engine/core/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 512, LINE_BYTES = 768 };

/* Up to two numbers of a file in the folder; returns how many there are. "max" is none. */
static int read_numbers(const char *folder, const char *name, double numbers[2])
{
    char path[PATH_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    const int n = file ? fscanf(file, "%lf %lf", &numbers[0], &numbers[1]) : 0;
    if (file)
        fclose(file);
    return n;
}

/* Version 2 keeps the period behind the quota, version 1 in a file of its own, where a quota of -1 is none. */
static double processors(const char *folder)
{
    double v[2] = {0, 0}, period[2] = {0, 0};
    int n = read_numbers(folder, "cpu.max", v);
    if (n < 2 && read_numbers(folder, "cpu.cfs_quota_us", v) && read_numbers(folder, "cpu.cfs_period_us", period)) {
        v[1] = period[0];
        n = 2;
    }
    return n == 2 && v[0] > 0 && v[1] > 0 ? v[0] / v[1] : 0;
}

/* Version 1 has no word for no limit, but a number that no machine reaches. */
static double memory_bytes(const char *folder)
{
    double v[2];
    return read_numbers(folder, "memory.max", v) || read_numbers(folder, "memory.limit_in_bytes", v) ? v[0] : 0;
}

/* Is `name` one of the controllers "a,b,c"? */
static bool lists(const char *controllers, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = strstr(controllers, name); at; at = strstr(at + 1, name))
        if ((at == controllers || at[-1] == ',') && (at[n] == 0 || at[n] == ','))
            return true;
    return false;
}

/* The least limit of the folder base + group and of those above it, base itself among them. */
static double least_above(const char *base, const char *group, double (*limit)(const char *folder), double least)
{
    char folder[PATH_BYTES];
    const size_t base_length = strlen(base);
    if (base_length + strlen(group) >= sizeof folder || strstr(group, ".."))
        group = "";
    strcpy(folder, base);
    strcat(folder, group);
    for (;;) {
        const double here = limit(folder);
        if (here > 0 && (least <= 0 || here < least))
            least = here;
        char *slash = strrchr(folder + base_length, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* Of every hierarchy that has the controller. */
static double least_of(const char *controller, double (*limit)(const char *folder))
{
    char line[LINE_BYTES], base[64];
    double least = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");
    snprintf(base, sizeof base, "/sys/fs/cgroup/%s", controller);
    while (file && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        if (!*++controllers)
            least = least_above("/sys/fs/cgroup", group, limit, least);
        else if (lists(controllers, controller))
            least = least_above(base, group, limit, least);
    }
    if (file)
        fclose(file);
    return least;
}

double ingot_cgroup_processors(void) { return least_of("cpu", processors); }

double ingot_cgroup_memory_bytes(void) { return least_of("memory", memory_bytes); }
