/* main.c -- the program: all it does is in app/command.c. */
#include "app/command.h"

int main(int argc, char **argv)
{
    return (int)command_main(argc, argv);
}
