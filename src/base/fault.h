/* fault.h -- make the n-th fallible system call fail, for tests.
 *
 * Why: "nothing is lost when the disk is full" is only known when each write, fsync, rename and
 * open has failed once. Every such call in the program passes a named point here; a sweep arms
 * n = 0, 1, 2, ... until none is left to fail. SQLite's own calls pass through its VFS (spool.c).
 *
 * Shape:   if (fault_hit("render.write")) fail -- see sys.h for wrappers.
 *          A program reads TRANCHE_FAULT="point:n:errno" once at start (fault_from_env), so that a
 *          whole process can be tested from outside; "*" is any point.
 * Threads: the countdown is atomic; arming is for the test's thread, before others start.
 */
#ifndef TRANCHE_BASE_FAULT_H
#define TRANCHE_BASE_FAULT_H

#include <stdbool.h>

void fault_arm(const char *point, int n, int err); /* the n-th hit (from 0) fails, once */
int fault_disarm(void);                            /* how many failed since armed */
bool fault_hit(const char *point);                 /* true: this call must fail; errno is set */
void fault_from_env(void);

#endif
