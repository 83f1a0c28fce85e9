/* objects_inner.h -- what the files about buckets and objects share. */
#ifndef TRANCHE_STORE_OBJECTS_OBJECTS_INNER_H
#define TRANCHE_STORE_OBJECTS_OBJECTS_INNER_H

#include "store/objects/blob_inner.h"

/* NOT_FOUND when there is no such bucket, or it is another project's. */
int bucket_check(struct db *d, const char *project, struct str name, struct error *e) FALLIBLE;

#define OBJECT_COLUMNS                                                                             \
    "bucket, name, generation, metageneration, " BLOB_COLUMNS                                      \
    ", content_type, meta, component_count, create_us, update_us"
void object_row(sqlite3_stmt *q, struct arena *a, struct object *out);

/* Room for one more item in a list of the arena, whose room doubles at each power of two. */
void *list_grow(struct arena *a, void *items, uint32_t count, size_t item_bytes);

#endif
