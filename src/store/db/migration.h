/* migration.h -- the numbered changes that make the database what this version needs.
 *
 * Why: a state folder outlives the program that made it. Each change is a file of SQL that is never
 * edited once it was released; the database says in user_version how many it has had.
 *
 * Shape:   src/store/db/migrations/NNNN_name.sql, embedded by cmake/migrations.cmake; each runs in a
 *          transaction of its own together with the new user_version, so a crash leaves whole ones.
 */
#ifndef TRANCHE_STORE_DB_MIGRATION_H
#define TRANCHE_STORE_DB_MIGRATION_H

struct migration {
    const char *name; /* "0001_jobs" */
    const char *sql;
};
extern const struct migration migrations[]; /* [i] has number i + 1 */
extern const int migration_count;

#endif
