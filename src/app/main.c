/* main.c -- the program: all it does is in app/cli/command.c. */
#include "app/cli/command.h"

int main(int argc, char **argv)
{
    return (int)command_main(argc, argv);
}
