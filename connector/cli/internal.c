/* `internal`: texts the build makes from the tables: config/front-connector.conf and
 * config/README.md. A test compares them with the committed files. */
#include "cli/cli.h"

#include <string.h>

#define TEXT_MAX (1024 * 1024)

static const char readme_head[] =
    "# Settings\n"
    "\n"
    "One file of `key = value` lines, UTF-8. `#` at the start of a line is a comment; "
    "there are "
    "no quotes\n"
    "and no continued lines; an empty value means the default; a key twice is an error.\n"
    "\n"
    "* Precedence: `-X key=value`, then the environment, then the file, then the "
    "default.\n"
    "* The file: `-c FILE`, else `$FRONT_CONNECTOR_CONFIG`, `./front-connector.conf`,\n"
    "  `/etc/front-connector/front-connector.conf`.\n"
    "* Environment: `FRONT_CONNECTOR_` and the key in capitals, `.` as `_`; `_` and `-` "
    "of a name "
    "as `__`.\n"
    "  `FRONT_CONNECTOR_<KEY>_FILE` names a file that holds the value.\n"
    "* Inside values `${env:NAME}` and `${file:/path}` are replaced (one trailing "
    "newline of the "
    "file is\n"
    "  dropped); `$$` is `$`. A secret in a file is read again when the file changes.\n"
    "* All mistakes are reported at once, each with file, line, key and the nearest key "
    "there is: "
    "try\n"
    "  `front-connector check --offline`.\n"
    "\n"
    "One process serves one company with one credential. Not in this version: OAuth "
    "(rotate the "
    "token\n"
    "file instead), TLS on our own listeners (put a proxy in front), cooperative "
    "rebalance, Kafka "
    "OIDC.\n"
    "\n"
    "This page and `front-connector.conf` are generated from the table the program "
    "itself uses\n"
    "(`front-connector internal print-settings-markdown`, `print-sample`).\n"
    "\n";

static const char readme_files[] =
    "\n"
    "# Large files\n"
    "\n"
    "A record carries a file as a whole, so every place it passes must take it. For a "
    "file of 20 MB:\n"
    "\n"
    "| way | what to raise | to |\n"
    "|---|---|---|\n"
    "| to Front | `max.message.bytes` of the command topics; in Kafka's clients that "
    "write commands "
    "`max.request.size` (Java) or `message.max.bytes` (librdkafka) | 30000000 |\n"
    "| to Front | `attachments.max.bytes`: 25MiB is the default, and about what Front "
    "takes | |\n"
    "| from Front (downloads, EML) | `front.max.response.bytes` and `results.max.bytes` "
    "| 25MiB |\n"
    "| from Front | `max.message.bytes` of `results.topic`, and of the reply topics | "
    "30000000 |\n"
    "| brokers | `message.max.bytes` where topics have no value of their own; "
    "`replica.fetch.max.bytes` need not change | |\n"
    "\n"
    "The connector's own producers and consumers have no lower limits "
    "(`kafka.producer.message.max.bytes`\n"
    "is 120000000). A command whose files are larger than `attachments.max.bytes` is "
    "REJECTED; an answer\n"
    "larger than the results topic takes leaves a result without it, `truncated`. While "
    "such commands\n"
    "wait they count for `commands.max.pending.bytes`. As JSON a command is a third "
    "longer, and the file\n"
    "is held once more, decoded, while it is at work. Files that are fetched from URLs "
    "are held up to\n"
    "64 MiB at once, or one command's.\n";

static const char readme_acls[] =
    "\n"
    "# Rights in Kafka\n"
    "\n"
    "| for | resource | operations |\n"
    "|---|---|---|\n"
    "| reading commands | each topic of `commands.topics` | Read, Describe |\n"
    "| lists that go on | `jobs.topic` | Read, Write, Describe |\n"
    "| rows of lists | each topic of `resources.topic.prefix` | Write, Describe |\n"
    "| the group | group `group.id` | Read, Describe |\n"
    "| results and dead letters | `results.topic`, `dead.letters.topic` | Write, "
    "Describe |\n"
    "| webhooks | `events.topic`, `dead.letters.topic` | Write, Describe |\n"
    "| their largest record | `results.topic`, `events.topic`, `dead.letters.topic` | "
    "DescribeConfigs |\n"
    "| `delivery = exactly-once` | transactional id `<group.id>.*` (prefixed) | Write, "
    "Describe "
    "|\n"
    "| `delivery = at-least-once`, webhooks | cluster | IdempotentWrite (brokers before "
    "3.0) |\n"
    "| lists | `resources.topic.prefix` (prefixed), or the topics whose lists are wanted "
    "| "
    "Write, Describe, DescribeConfigs |\n"
    "| replies | each topic `reply.topics.allowed` matches | Write, Describe |\n"
    "| `topics.create = true` | cluster, or the topics by prefix | Create |\n"
    "| `send` | the first topic of `commands.topics` | Write, Describe |\n"
    "| `send --wait`, `tail`, `jobs` | the topic that is read | Read, Describe |\n"
    "| `jobs cancel` | `jobs.topic` | Write, Describe |\n"
    "\n"
    "`front-connector check` writes to every output topic in a transaction, aborts it, "
    "and names "
    "the\n"
    "right that is missing.\n";

int cli_internal(struct cli *c)
{
    struct buf text;
    int code = EXIT_DONE;

    buf_init(&text, TEXT_MAX);
    if (strcmp(c->args[0], "print-sample") == 0) {
        settings_print_sample(settings_rows, settings_rows_n, &text);
    } else if (strcmp(c->args[0], "print-settings-markdown") == 0) {
        buf_add_cstr(&text, readme_head);
        settings_print_markdown(settings_rows, settings_rows_n, &text);
        buf_add_cstr(&text, readme_files);
        buf_add_cstr(&text, readme_acls);
    } else {
        code = cli_usage(c, "usage: front-connector internal %s", c->command->usage);
    }
    if (text.data)
        fputs(text.data, c->out);
    buf_fini(&text);
    return code;
}
