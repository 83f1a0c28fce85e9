/* upstream_stub.c -- an inference server without a model: it answers what it was asked, in the time and
 * with the faults that its options say.
 *
 * Why: how fast we send requests, how near we keep to a server's limits and what we make of a broken
 * one can only be tested against a server that costs next to nothing and breaks on demand.
 *
 * Shape:   see server.h for the path of a request and --help for the options. There is no TLS.
 * Exit:    1 when it cannot start, 2 for a wrong command line; else it runs until it is killed.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "server.h"

static int fail(const struct error *e, int code)
{
    (void)fprintf(stderr, "upstream_stub: %s\n", e->msg);
    return code;
}

int main(int argc, char **argv)
{
    struct server s = { 0 };
    struct error e = { 0 };
    int code = 0;

    if (options_parse(argc, argv, &s.options, &s.faults, &e) < 0)
        code = fail(&e, 2);
    else if (s.options.help)
        options_help();
    else if (s.options.with_parent && prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        code = 1;
    else if (server_start(&s, &e) < 0 || server_run(&s, &e) < 0)
        code = fail(&e, 1);
    server_release(&s);
    return code;
}
