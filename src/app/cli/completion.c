/* completion.c -- completion scripts for bash, fish and zsh, from the same tables as --help. */
#include "app/cli/help.h"

#include <string.h>

#include "base/mem.h"

/* Text between single quotes of a shell; in zsh's _arguments brackets and colons mean something. */
static void quoted(struct buf *out, const char *text, bool brackets)
{
    for (; *text; text++) {
        if (*text == '\'')
            buf_add_c(out, "'\\''");
        else if (brackets && strchr("[]:", *text))
            buf_addf(out, "\\%c", *text);
        else
            buf_add_char(out, *text);
    }
}

static void words(struct buf *out, const char *choices)
{
    for (; *choices; choices++)
        buf_add_char(out, *choices == '|' ? ' ' : *choices);
}

/* The completion of an option's value in bash. */
static void bash_value(struct buf *out, const struct option_spec *o)
{
    static const char *const by[] = {
        [COMPLETE_NONE] = "COMPREPLY=()",
        [COMPLETE_FILE] = "mapfile -t COMPREPLY < <(compgen -f -- \"$word\")",
        [COMPLETE_DIR] = "mapfile -t COMPREPLY < <(compgen -d -- \"$word\")",
        [COMPLETE_MODEL] = "mapfile -t COMPREPLY < <(compgen -W "
                           "\"$(tranche models --names 2>/dev/null)\" -- \"$word\")",
    };

    buf_addf(out, "        %s", o->letter ? "" : "--");
    if (o->letter)
        buf_addf(out, "-%c|--", o->letter);
    buf_addf(out, "%s) ", o->name);
    if (o->type == OPTION_CHOICE) {
        buf_add_c(out, "mapfile -t COMPREPLY < <(compgen -W '");
        words(out, o->value);
        buf_add_c(out, "' -- \"$word\")");
    } else {
        buf_add_c(out, by[o->complete]);
    }
    buf_add_c(out, "; return ;;\n");
}

static void bash_command(struct buf *out, const struct command *c)
{
    buf_addf(out, "    %s)\n        case \"$before\" in\n", c->name);
    for (const struct option_spec *o = c->options; o && o->name; o++)
        if (o->type != OPTION_FLAG)
            bash_value(out, o);
    buf_add_c(out, "        esac\n        options='--help");
    for (const struct option_spec *o = c->options; o && o->name; o++)
        buf_addf(out, " --%s", o->name);
    buf_addf(out, "'\n        files=%s ;;\n", c->takes_files ? "yes" : "no");
}

static void bash(struct buf *out)
{
    buf_add_c(out, "# bash completion of tranche; put it into "
                   "~/.local/share/bash-completion/completions/tranche\n"
                   "_tranche() {\n"
                   "    local word=\"${COMP_WORDS[COMP_CWORD]}\" options='' files=no\n"
                   "    local before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
                   "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                   "        mapfile -t COMPREPLY < <(compgen -W '");
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            buf_addf(out, "%s ", commands[i]->name);
    buf_add_c(out, "' -- \"$word\")\n        return\n    fi\n    case \"${COMP_WORDS[1]}\" in\n");
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            bash_command(out, commands[i]);
    buf_add_c(out, "    esac\n"
                   "    if [[ \"$word\" == -* ]] || [ \"$files\" = no ]; then\n"
                   "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
                   "    else\n"
                   "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                   "    fi\n"
                   "}\n"
                   "complete -o filenames -F _tranche tranche\n");
}

/* Text between single quotes of fish, in which a backslash escapes. */
static void fish_quoted(struct buf *out, const char *text)
{
    buf_add_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '\'');
}

static void fish_option(struct buf *out, const struct command *c, const struct option_spec *o)
{
    static const char *const by[] = {
        [COMPLETE_NONE] = " -x",
        [COMPLETE_FILE] = " -r -F",
        [COMPLETE_DIR] = " -x -a '(__fish_complete_directories)'",
        [COMPLETE_MODEL] = " -x -a '(tranche models --names 2>/dev/null)'",
    };

    buf_addf(out, "complete -c tranche -n '__tranche_is %s' -l %s", c->name, o->name);
    if (o->letter)
        buf_addf(out, " -s %c", o->letter);
    if (o->type == OPTION_CHOICE) {
        buf_add_c(out, " -x -a '");
        words(out, o->value);
        buf_add_char(out, '\'');
    } else if (o->type != OPTION_FLAG) {
        buf_add_c(out, by[o->complete]);
    }
    buf_add_c(out, " -d ");
    fish_quoted(out, o->about);
    buf_add_char(out, '\n');
}

static void fish(struct buf *out)
{
    buf_add_c(out, "# fish completion of tranche; put it into "
                   "~/.config/fish/completions/tranche.fish\n"
                   "function __tranche_is\n"
                   "    set -l words (commandline -opc)\n"
                   "    test (count $words) -ge 2; and test $words[2] = $argv[1]\n"
                   "end\n"
                   "complete -c tranche -f\n");
    for (size_t i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        if (c->hidden)
            continue;
        buf_addf(out, "complete -c tranche -n __fish_use_subcommand -a %s -d ", c->name);
        fish_quoted(out, c->summary);
        buf_add_char(out, '\n');
        for (const struct option_spec *o = c->options; o && o->name; o++)
            fish_option(out, c, o);
        buf_addf(out, "complete -c tranche -n '__tranche_is %s' -l help -s h -d 'this text'\n",
                 c->name);
        if (c->takes_files)
            buf_addf(out, "complete -c tranche -n '__tranche_is %s' -F\n", c->name);
    }
}

static void zsh_option(struct buf *out, const struct option_spec *o)
{
    static const char *const by[] = {
        [COMPLETE_NONE] = " ",
        [COMPLETE_FILE] = "_files",
        [COMPLETE_DIR] = "_files -/",
        [COMPLETE_MODEL] = "($(tranche models --names 2>/dev/null))",
    };

    buf_add_c(out, "                ");
    if (o->letter)
        buf_addf(out, "'(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
    else
        buf_addf(out, "'%s--%s", o->type == OPTION_LIST ? "*" : "", o->name);
    buf_add_char(out, '[');
    quoted(out, o->about, true);
    buf_add_char(out, ']');
    if (o->type != OPTION_FLAG)
        buf_addf(out, ":%s:", o->type == OPTION_CHOICE ? "which" : o->value);
    if (o->type == OPTION_CHOICE) {
        buf_add_char(out, '(');
        words(out, o->value);
        buf_add_char(out, ')');
    } else if (o->type != OPTION_FLAG) {
        buf_add_c(out, by[o->complete]);
    }
    buf_add_c(out, "' \\\n");
}

static void zsh(struct buf *out)
{
    buf_add_c(out,
              "#compdef tranche\n# zsh completion of tranche; put it as _tranche into a folder "
              "of $fpath\n_tranche() {\n    local -a names\n    names=(\n");
    for (size_t i = 0; commands[i]; i++) {
        if (commands[i]->hidden)
            continue;
        buf_addf(out, "        '%s:", commands[i]->name);
        quoted(out, commands[i]->summary, false);
        buf_add_c(out, "'\n");
    }
    buf_add_c(out, "    )\n    if (( CURRENT == 2 )); then\n        _describe command names\n"
                   "        return\n    fi\n    case \"$words[2]\" in\n");
    for (size_t i = 0; commands[i]; i++) {
        if (commands[i]->hidden)
            continue;
        buf_addf(out,
                 "        %s)\n            shift words; (( CURRENT-- ))\n"
                 "            _arguments -S \\\n",
                 commands[i]->name);
        for (const struct option_spec *o = commands[i]->options; o && o->name; o++)
            zsh_option(out, o);
        buf_addf(out, "                '--help[this text]'%s ;;\n",
                 commands[i]->takes_files ? " '*:file:_files'" : "");
    }
    buf_add_c(out, "    esac\n}\n_tranche \"$@\"\n");
}

int help_write_completion(const char *shell, struct buf *out, struct error *e)
{
    static const struct {
        const char *shell;
        void (*write)(struct buf *out);
    } shells[] = { { "bash", bash }, { "fish", fish }, { "zsh", zsh } };

    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (strcmp(shells[i].shell, shell) == 0) {
            shells[i].write(out);
            return 0;
        }
    }
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "there is no completion for %s; write bash, fish or zsh", shell);
}
