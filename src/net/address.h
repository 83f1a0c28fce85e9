/* address.h -- is an IP address one of a private or special network?
 *
 * Why: URLs that users give (webhooks) must not reach our own network. The check is made on the address
 * that is connected to, so a name that resolves to another address later gains nothing.
 *
 * Threads: none; pure.
 * Source:  RFC 6890, and IANA's registries of special-purpose addresses.
 */
#ifndef TRANCHE_NET_ADDRESS_H
#define TRANCHE_NET_ADDRESS_H

#include <stdbool.h>

/* True for "10.0.0.1", "::1", "::ffff:10.0.0.1" (judged by the IPv4 address inside), and for a text that
 * is not an address. */
bool net_address_private(const char *address);

#endif
