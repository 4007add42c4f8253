/* What this build calls itself. The Makefile says it. */
#ifndef CLI_VERSION_H
#define CLI_VERSION_H

#ifndef FRONT_CONNECTOR_VERSION
#define FRONT_CONNECTOR_VERSION "unversioned"
#endif
#ifndef FRONT_CONNECTOR_REVISION
#define FRONT_CONNECTOR_REVISION "unknown"
#endif

#endif
