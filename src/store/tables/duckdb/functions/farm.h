/* farm.h -- the fingerprint of FarmHash. Threads: all. */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_FARM_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_FARM_H

#include <stdint.h>

#include "base/str.h"

uint64_t farm_fingerprint(struct str text);

#endif
