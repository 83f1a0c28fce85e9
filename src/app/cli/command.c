/* command.c -- what all commands share: being found, and being stopped. */
#include "app/cli/command.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* A signal handler can reach nothing but a global. */
static atomic_bool stop;

static void on_signal(int signal)
{
    if (atomic_exchange(&stop, true) && signal == SIGINT)
        _exit(EXIT_INTERRUPTED);
}

const atomic_bool *stop_on_signals(void)
{
    static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
    /* A reader that went away and a file at its limit are errors of write(2). */
    static const int ignored[] = { SIGPIPE, SIGXFSZ };
    struct sigaction act = { .sa_handler = on_signal }, before;

    (void)sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        /* A signal that the caller had us ignore, as nohup does, stays ignored. */
        if (sigaction(stops[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(stops[i], &act, NULL);
    }
    act.sa_handler = SIG_IGN;
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void)sigaction(ignored[i], &act, NULL);
    return &stop;
}
