/* schema.h -- Google's response schema as JSON Schema.
 *
 * Why: responseSchema is an OpenAPI-like dialect (upper-case types, nullable, int64 as strings,
 * propertyOrdering); grammars and OpenAI servers take JSON Schema.
 *
 * In:      a Schema object of request.h (already validated), or the enum form.
 * Out:     JSON Schema text; properties in propertyOrdering's order, else as written. An enum is
 *          written without its type, because its values say it.
 * Errors:  INVALID_ARGUMENT for what JSON Schema cannot say (a ref to nothing, a wrong type), with the
 *          path to it; what was written until then stays in the buffer.
 * Threads: none.
 * Source:  Vertex AI REST reference, Schema; JSON Schema 2020-12.
 */
#ifndef TRANCHE_FORMAT_REQUEST_SCHEMA_H
#define TRANCHE_FORMAT_REQUEST_SCHEMA_H

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

#define SCHEMA_BYTES_MAX ((size_t)1024 * 1024)
#define SCHEMA_PROPERTIES_MAX 1000 /* of one object; its ordering and required names, too */

int schema_to_json_schema(yyjson_val *schema, struct buf *out, struct error *e) FALLIBLE;

#endif
