/* function_general.c -- see function.h: conditions, NULL, errors, identity, hashes, addresses. */
#include "format/sql/function.h"

#include "base/mem.h"

static int write_no_domains(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return sql_call_fail(w, call, e,
                         "This function is not supported: it needs the list of public suffixes");
}

// clang-format off
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
static const struct sql_function rows[] = {
    PLAIN("IF", 3, 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    PLAIN("IFNULL", 2, 2, "coalesce($1, $2)"),
    PLAIN("NULLIFZERO", 1, 1, "nullif($1, 0)"),
    PLAIN("ZEROIFNULL", 1, 1, "coalesce($1, 0)"),
    PLAIN("COALESCE", 1, SQL_ARGUMENTS_ANY, NULL),
    PLAIN("NULLIF", 2, 2, NULL),
    PLAIN("ERROR", 1, 1, "error($1)"),
    PLAIN("GENERATE_UUID", 0, 0, "CAST(uuid() AS VARCHAR)"),

    PLAIN("MD5", 1, 1, "bq_md5($1)"),
    PLAIN("SHA1", 1, 1, "bq_sha1($1)"),
    PLAIN("SHA256", 1, 1, "bq_sha256($1)"),
    PLAIN("SHA512", 1, 1, "bq_sha512($1)"),
    PLAIN("FARM_FINGERPRINT", 1, 1, "bq_farm_fingerprint($1)"),

    PLAIN("NET.HOST", 1, 1, "bq_net_host($1)"),
    PLAIN("NET.IP_FROM_STRING", 1, 1, "bq_net_ip_from_string($1)"),
    PLAIN("NET.SAFE_IP_FROM_STRING", 1, 1, "bq_safe_net_ip_from_string($1)"),
    PLAIN("NET.IP_TO_STRING", 1, 1, "bq_net_ip_to_string($1)"),
    PLAIN("NET.IP_NET_MASK", 2, 2, "bq_net_ip_net_mask($1, $2)"),
    PLAIN("NET.IP_TRUNC", 2, 2, "bq_net_ip_trunc($1, $2)"),
    PLAIN("NET.IPV4_FROM_INT64", 1, 1, "bq_net_ipv4_from_int64($1)"),
    PLAIN("NET.IPV4_TO_INT64", 1, 1, "bq_net_ipv4_to_int64($1)"),
    { "NET.REG_DOMAIN", 1, 1, 0, NULL, write_no_domains, NULL },
    { "NET.PUBLIC_SUFFIX", 1, 1, 0, NULL, write_no_domains, NULL },
};
// clang-format on

const struct sql_function_group sql_functions_general = { "general", rows, ARRAY_LEN(rows) };
