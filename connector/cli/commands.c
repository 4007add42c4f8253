/* The table of subcommands: their flags, usage and help. */
#include "cli/cli.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ANY_NUMBER ((size_t)-1)

static const struct cli_flag check_flags[] = {
    {"offline", 0, NULL, false, "reach neither Kafka nor Front"},
    {"json", 0, NULL, false,
     "one JSON object a line: check, name, ok, state, message, fix"},
    {"strict", 0, NULL, false, "a warning counts as a failure"},
};

static const struct cli_flag ops_flags[] = {
    {"json", 0, NULL, false, "JSON instead of text"},
};

static const struct cli_flag send_flags[] = {
    {"body", 0, "JSON|@FILE|-", false, "the body; NAME arguments are put into it"},
    {"key", 0, "K", false, "key of the record; commands with one key run in order"},
    {"header", 'H', "NAME=VALUE", false,
     "a header of the record; may be given several times"},
    {"attach", 0, "FILE", false,
     "a file, FILE;type=image/png or a URL; may be given several times"},
    {"typed", 0, NULL, false,
     "write the operation's own record instead of front.Command"},
    {"dry-run", 0, NULL, false, "print the request Front would get, call nothing"},
    {"force", 0, NULL, false, "send what the check refuses too"},
    {"wait", 0, "S", true, "wait S seconds (60) for the result and print it"},
};

static const struct cli_flag tail_flags[] = {
    {"offset", 'o', "WHERE", false,
     "beginning, end, -N (the last N), s@MS (epoch ms); end"},
    {"count", 'n', "N", false, "end after N records"},
    {"exit", 'e', NULL, false, "end where the topic ends"},
    {"key", 0, "K", false, "records with this key only"},
    {"outcome", 0, "O", false, "results with this outcome only"},
    {"operation", 0, "OP", false, "results of this operation only"},
    {"id", 0, "ID", false, "this command or event only"},
};

static const struct cli_flag jobs_flags[] = {
    {"json", 0, NULL, false, "one front.Job as JSON a line"},
    {"watch", 0, NULL, false,
     "look again every second until interrupted; without a terminal: what went on"},
};

const struct cli_command cli_commands[] = {
    {"run", "", "the connector: commands from Kafka to Front, one result each",
     "SIGTERM lets running requests end, the second ends at once.", NULL, 0, 0, 0,
     cli_run, false},
    {"check", "[--offline] [--json] [--strict]",
     "settings, Kafka, topics, transactions, schemas and token: what is wrong, what to "
     "do",
     NULL, check_flags, COUNT(check_flags), 0, 0, cli_check, false},
    {"ops", "[WORD... | NAME] [--json]", "search Front's operations, or show one in full",
     NULL, ops_flags, COUNT(ops_flags), 0, ANY_NUMBER, cli_ops, false},
    {"schema", "list | show NAME | register [NAME...]", "the Avro schemas",
     "`show` prints the .avsc byte for byte. `register` writes those of all outputs, "
     "and\n"
     "front.Command, to the registry; or those named, * and ? allowed: front.command.*",
     NULL, 0, 1, ANY_NUMBER, cli_schema, false},
    {"send",
     "OPERATION [NAME=TEXT NAME:=JSON]... [--body JSON|@FILE|-] [--key K] [-H "
     "NAME=VALUE]\n"
     "       [--attach FILE] [--typed] [--dry-run] [--wait [S]]",
     "write one command",
     "Names are the operation's parameters and the fields of its body.", send_flags,
     COUNT(send_flags), 1, ANY_NUMBER, cli_send, false},
    {"tail",
     "results|events|dead-letters|TOPIC [-o WHERE] [-n N] [-e] [--key K] [--outcome O]\n"
     "       [--operation OP] [--id ID]",
     "read a topic as JSON lines",
     "Each line has topic, partition, offset, ts, key, headers and payload.", tail_flags,
     COUNT(tail_flags), 1, 1, cli_tail, false},
    {"jobs", "[--json] [--watch] | cancel ID",
     "the lists that go on after their first page",
     "An ID is where the command lies: TOPIC/PARTITION/OFFSET.", jobs_flags,
     COUNT(jobs_flags), 0, 2, cli_jobs, false},
    {"internal", "print-sample | print-settings-markdown",
     "what the build makes from the tables", NULL, NULL, 0, 1, 1, cli_internal, true},
};

const size_t cli_commands_n = COUNT(cli_commands);
