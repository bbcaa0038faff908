/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"

#include <stdio.h>

static int overview(void)
{
    puts("usage: rly [-c FILE | --api URL] COMMAND [ARGUMENTS]\n"
         "\n"
         "Opens, closes and shows tunnels to devices behind NAT.\n");
    for (int i = 0; rly_commands[i]; i++)
        printf("  rly %-8s %s\n", rly_commands[i]->name, rly_commands[i]->summary);
    printf(
        "\n"
        "`rly help COMMAND' tells more, with examples; `rly --version' which version this is.\n"
        "\n"
        "The configuration is %s, unless -c FILE or the environment's\n"
        "RELAY_CONF names another. rly goes over the API instead with --api URL, the\n"
        "environment's RELAY_API, or ~/.config/relay/rly.conf; see rly(1).\n"
        "Exit status: 0 done, 1 refused or not found, 2 usage, 3 Redis or another part cannot be\n"
        "reached.\n",
        relay_config_default_path());
    return RLY_DONE;
}

static int run(rly *r, int argc, const char *const *argv)
{
    const rly_command *command;
    rly_options o;
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(&rly_cmd_help);
    if (o.noperands == 0)
        return overview();
    if (o.noperands > 1)
        return rly_usage_error(r, "one command at a time");
    if ((command = rly_command_find(o.operands[0])) == NULL)
        return rly_usage_error(r, "there is no command `%s'", o.operands[0]);
    return rly_help_print(command);
}

const rly_command rly_cmd_help = {
    .name = "help",
    .summary = "explain a command",
    .takes = "",
    .usage = "[COMMAND]",
    .about = "Prints what a command does, its options and examples; without COMMAND, what commands "
             "there are.\n",
    .run = run};
