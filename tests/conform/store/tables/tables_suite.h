/* tables_suite.h -- what every kind of tables must do, whoever holds them.
 *
 * Why: the API, jobs and the command line know the interface only; what they rely on is tested here once, and
 * run by a test_tables_KIND_conform.c for each kind.
 *
 * Shape:   the program defines the functions that suite_world.h names, and runs TABLES_SUITE_TESTS. Each test has
 *          tables without a dataset.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_TABLES_SUITE_H
#define TRANCHE_TESTS_TABLES_SUITE_H

#include "conform/store/tables/suite_catalog.h"
#include "conform/store/tables/suite_files.h"
#include "conform/store/tables/suite_queries.h"
#include "conform/store/tables/suite_rows.h"
#include "conform/store/tables/suite_scripts.h"
#include "conform/store/tables/suite_tables.h"

#define TABLES_SUITE_TESTS                                                                         \
    SUITE_TABLES_TESTS, SUITE_ROWS_TESTS, SUITE_QUERIES_TESTS, SUITE_SCRIPTS_TESTS,                \
        SUITE_CATALOG_TESTS, SUITE_FILES_TESTS

#endif
