/* `--version`: what this build is made of. */
#include "cli/cli.h"

#include <jansson.h>
#include <openssl/crypto.h>

#include "cli/version.h"
#include "kafka/kafka.h"
#include "net/http_client.h"
#include "net/http_server.h"

void cli_print_version(FILE *out)
{
    fprintf(out, "front-connector %s (%s)\n", FRONT_CONNECTOR_VERSION,
            FRONT_CONNECTOR_REVISION);
    fprintf(out, "librdkafka %s\n", kafka_library_version());
    fprintf(out, "%s\n", http_client_library_version());
    fprintf(out, "libmicrohttpd %s\n", http_server_library_version());
    fprintf(out, "jansson %s\n", jansson_version_str());
    fprintf(out, "%s\n", OpenSSL_version(OPENSSL_VERSION));
}
