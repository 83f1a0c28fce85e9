/* assets.c -- the console's files as they are sent, part of the program. cmake/console.cmake makes them. */
#include "api/console/console.h"

#define ASSET(name, file)                                                                          \
    __asm__(".pushsection .rodata\n"                                                               \
            ".global " #name "\n" #name ":\n"                                                      \
            ".incbin \"" file "\"\n"                                                               \
            ".global " #name "_end\n" #name "_end:\n"                                              \
            ".byte 0\n"                                                                            \
            ".popsection\n")

ASSET(console_app_js, "app.js");
ASSET(console_app_css, "app.css");
ASSET(console_index, "index.html");
ASSET(console_icon, "icon.svg");
