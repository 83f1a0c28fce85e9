/* test_mode.h -- what scripts make of calls that create something, and of files: for users who test their clients.
 *
 * Why: a client must be tested against a create that is refused twice, and against a file that cannot be used; the
 * scripts of requests and jobs (predict/fake/script.h) act elsewhere.
 *
 * Memory:  the attempts at TEST_ATTEMPTS_MAX different creates and the states of TEST_FILES_MAX files, the newest; they are
 *          forgotten at the end of the program.
 * Threads: any.
 */
#ifndef TRANCHE_API_TEST_MODE_H
#define TRANCHE_API_TEST_MODE_H

#include "api/context.h"
#include "predict/fake/script.h"

#define TEST_ATTEMPTS_MAX 1024
#define TEST_FILES_MAX 1024

struct test_mode *test_mode_new(void);
void test_mode_free(struct test_mode *t); /* accepts NULL */
/* Is this attempt at a create, known by its key, one of the first `times`? Attempts after them begin anew. */
bool test_mode_fails(struct test_mode *t, uint64_t key, uint32_t times);
void test_mode_file_set(struct test_mode *t, const char *id, enum script_fate fate);
enum script_fate test_mode_file(struct test_mode *t, const char *id);

#endif
