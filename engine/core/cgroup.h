/* cgroup.h - what the groups that this process is in are allowed: its own and all those above it. */
#ifndef INGOT_CORE_CGROUP_H
#define INGOT_CORE_CGROUP_H

/* Processors granted and bytes of memory; the least of all levels, 0 where there is no limit. */
double ingot_cgroup_processors(void);
double ingot_cgroup_memory_bytes(void);

#endif
