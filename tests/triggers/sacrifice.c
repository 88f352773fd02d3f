/* A process whose memory and registers are its tracer's to ruin: it maps what its arguments say and stops.
 *
 * Each argument is ADDRESS:SIZE:PROTECTION in hexadecimal. Without a libc of its own address ranges in the way: link it static-pie. */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        unsigned long address, size, protection;
        if (sscanf(argv[i], "%lx:%lx:%lx", &address, &size, &protection) != 3)
            return 2;
        if (mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
            return 3;
    }
    if (ptrace(PTRACE_TRACEME, 0, 0, 0))
        return 4;
    kill(getpid(), SIGSTOP);
    return 5;
}
