/* cpu.h -- CPU features that a process may use only after the system grants them.
 *
 * Threads: all; what is granted is granted to the whole process.
 * Source:  Linux, Documentation/arch/x86/xstate.rst.
 */
#ifndef TRANCHE_BASE_CPU_H
#define TRANCHE_BASE_CPU_H

#include <stdbool.h>

/* The registers of AMX. May be asked again and again. */
bool cpu_grants_tiles(void);

#endif
