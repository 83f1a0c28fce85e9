#define _DEFAULT_SOURCE /* syscall */
#include "base/cpu.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#define XFEATURE_TILES 18
#define ARCH_REQ_XCOMP_PERM 0x1023

bool cpu_grants_tiles(void)
{
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILES) == 0;
}
#else
bool cpu_grants_tiles(void)
{
    return false;
}
#endif
