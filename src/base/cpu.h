/* cpu.h -- what a process must ask the system for before it may use it of a CPU.
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
