/* measure.c - runs a command and tells what it took: measure SECONDS STACK_KIB COMMAND ARGUMENT... prints one line
 * "EXIT PEAK_KIB MILLISECONDS" to descriptor 3, where EXIT is the exit code, 128 + the signal that ended it, or 124
 * when it took longer than SECONDS; the milliseconds are the processor's, so that others on the machine do not count. A
 * program of its own, as the peak of a child counts what its parent had in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static double ms_of(struct timeval t) { return 1e3 * (double)t.tv_sec + 1e-3 * (double)t.tv_usec; }

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const unsigned seconds = (unsigned)atoi(argv[1]);
    const rlim_t stack = (rlim_t)atoi(argv[2]) << 10;
    struct rusage usage;
    int status;
    const pid_t child = fork();
    if (child < 0)
        return 2;
    if (!child) {
        const struct rlimit limit = {stack, stack}, no_core = {0, 0};
        close(3);
        alarm(seconds);
        if (setrlimit(RLIMIT_CORE, &no_core) || (stack && setrlimit(RLIMIT_STACK, &limit)))
            _exit(127);
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    if (wait4(child, &status, 0, &usage) != child)
        return 2;
    const int by_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    dprintf(3, "%d %ld %.1f\n",
            by_signal == 14 ? 124
            : by_signal     ? 128 + by_signal
                            : WEXITSTATUS(status),
            usage.ru_maxrss, ms_of(usage.ru_utime) + ms_of(usage.ru_stime));
    return 0;
}
