/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * rly's options: what each command takes, in any order; what is refused, and that the error names
 * the option. rly.c's two functions that print errors stand here instead, and keep the text.
 */
#include "options.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>

static apr_pool_t *pool;
static char said[1024];

__attribute__((format(printf, 1, 0))) static int keep(const char *fmt, va_list ap)
{
    if (fmt)
        vsnprintf(said, sizeof(said), fmt, ap);
    return RLY_USAGE;
}

void rly_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    keep(fmt, ap);
    va_end(ap);
}

int rly_usage_error(const rly *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    keep(fmt, ap);
    va_end(ap);
    return RLY_USAGE;
}

static const rly_command open_command = {.name = "open", .takes = "ntdkoHFULOTj"};
static const rly_command close_command = {.name = "close", .takes = "j"};

/* Words, with blanks between them; an argument that has blanks is written with `_'. */
static int parse(rly_options *o, rly *r, const rly_command *command, const char *line)
{
    const char *argv[32] = {"rly"};
    char *rest, *word;
    int argc = 1;

    *r = (rly){.p = pool, .command = command};
    said[0] = '\0';
    for (word = apr_strtok(apr_pstrdup(pool, line), " ", &rest); word;
         word = apr_strtok(NULL, " ", &rest)) {
        for (char *c = word; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        argv[argc++] = word;
    }
    return rly_options_parse(o, r, argc, argv);
}

static const struct {
    const rly_command *command;
    const char *line, *fault;
} bad[] = {
    {&open_command, "--frobnicate 80", "invalid option: --frobnicate"},
    {&open_command, "-x 80", "invalid option character: x"},
    {&open_command, "80 -x", "invalid option character: x"},
    {&close_command, "-o x nas", "invalid option character: o"},
    {&close_command, "--output=x nas", "invalid option: --output"},
    {&close_command, "-t 1h nas", "invalid option character: t"},
    {&open_command, "80 -t", "missing argument: t"},
    {&open_command, "80 --ttl", "missing argument: --ttl"},
    {&open_command, "80 -n", "missing argument: n"},
    {&open_command, "--json=yes 80", "erroneous argument: --json"},
    {&open_command, "-t 1h -t 2h 80", "-t is given twice"},
    {&open_command, "-t 1h 80 --ttl=1h", "-t is given twice"},
    {&open_command, "-d a -d a 80", "-d is given twice"},
    {&open_command, "-k a -k b 80", "-k is given twice"},
    {&open_command, "-o a 80 -o b", "-o is given twice"},
    {&open_command, "--host=a 80 -H b", "-H is given twice"},
    {&open_command, "--forwarded on 80 -F off", "-F is given twice"},
    {&open_command, "--upgrade tcp 80 -U tcp", "-U is given twice"},
    {&open_command, "80 --host", "missing argument: --host"},
    {&open_command, "--old-tls=on 80", "erroneous argument: --old-tls"},
    {&open_command, "-t 0s 80", "-t 0s: a tunnel has to live for some time"},
    {&open_command, "-t 0ms 80", "-t 0ms: a tunnel has to live for some time"},
    {&open_command, "-t 0d 80", "-t 0d: a tunnel has to live for some time"},
    {&open_command, "-t 0 80", "-t 0: `0' is not a time span"},
    {&open_command, "-t 5 80", "-t 5: `5' is not a time span"},
    {&open_command, "-t -5m 80", "-t -5m: `-5m' is not a time span"},
    {&open_command, "-t _1h 80", "-t  1h: ` 1h' is not a time span"},
    {&open_command, "-t 1h_ 80", "-t 1h : `1h ' is not a time span"},
    {&open_command, "-t 1h30m 80", "-t 1h30m: `1h30m' is not a time span"},
    {&open_command, "-t 4000d 80", "-t 4000d: `4000d' is longer than ten years"},
    {&open_command, "--ttl=soon 80", "-t soon: `soon' is not a time span"},
};

static void test_bad(void)
{
    rly_options o;
    unsigned i;
    rly r;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(parse(&o, &r, bad[i].command, bad[i].line) == RLY_USAGE, "rly %s %s: wrong usage",
           bad[i].command->name, bad[i].line);
        if (!ok(strncmp(said, bad[i].fault, strlen(bad[i].fault)) == 0, "and the error says: %s",
                bad[i].fault))
            printf("# said: %s\n", said);
    }
}

/* The same options in every form and place. */
static const char *const forms[] = {
    "-n a -n b -t 90s -d NAS -k key.pub -o dir -H device -F off -U tcp -L -O -T -j 80 81",
    "80 81 -n a -n b -t 90s -d NAS -k key.pub -o dir -H device -F off -U tcp -L -O -T -j",
    "80 -n a -t 90s 81 -n b -d NAS -k key.pub -o dir -H device -LF off -U tcp -OTj",
    "-na -nb -t90s -dNAS -kkey.pub -odir -Hdevice -Foff -Utcp -jTOL 80 81",
    "--name=a --name b --ttl=90s --device NAS --key=key.pub --output=dir --host=device "
    "--forwarded=off --upgrade=tcp --old-tls --take-over -T -j 80 81",
    "--name=a --name b --ttl=90s --device=NAS --key key.pub --output dir --host device "
    "--forwarded off --upgrade tcp --old-tls -O --tls --json 80 81",
};

static void test_good(void)
{
    rly_options o;
    unsigned i;
    rly r;

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        ok(parse(&o, &r, &open_command, forms[i]) == RLY_DONE, "form %u: taken", i);
        is(said, "", "and nothing is said");
        is(apr_array_pstrcat(pool, o.names, ' '), "a b", "-n");
        ok(o.ttl == apr_time_from_sec(90), "-t");
        is(o.device, "NAS", "-d");
        is(o.key, "key.pub", "-k");
        is(o.dir, "dir", "-o");
        ok(o.take_over && o.tls && o.json && o.old_tls, "-O, -T, -j, -L");
        is(o.host, "device", "-H");
        is(o.forwarded, "off", "-F");
        is(o.upgrade, "tcp", "-U");
        ok(o.noperands == 2 && strcmp(o.operands[0], "80") == 0 && strcmp(o.operands[1], "81") == 0,
           "two operands");
        ok(!r.conf_path, "relay.conf is the default");
    }
    ok(parse(&o, &r, &close_command, "nas -c one -c two") == RLY_DONE, "each command takes -c");
    is(r.conf_path, "two", "and the last one counts");
    ok(parse(&o, &r, &open_command, "-t 1h -- -n") == RLY_DONE && o.noperands == 1 &&
           strcmp(o.operands[0], "-n") == 0 && o.names->nelts == 0,
       "what follows -- is an operand");
    ok(parse(&o, &r, &open_command, "") == RLY_DONE && o.noperands == 0 && !o.ttl && !o.device &&
           !o.key && !o.dir && !o.host && !o.forwarded && !o.upgrade && !o.old_tls &&
           !o.take_over && !o.tls && !o.json && o.names->nelts == 0,
       "nothing is given");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_bad();
    test_good();
    apr_terminate();
    return done_testing();
}
