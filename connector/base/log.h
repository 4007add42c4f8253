/* Levelled log lines on stderr, as text or JSON (OpenTelemetry names). A line goes into a
 * bounded ring and is written by log_flush at the end of a turn (at once outside the
 * loop, until log_buffered(true)); lost ones are counted and said. Secrets are given to
 * log_secret once and masked wherever they appear. Callable from any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
#define LOG_LEVELS 4
enum log_format { LOG_TEXT, LOG_JSON };

extern const char *const log_level_names[LOG_LEVELS]; /* "error" "warn" "info" "debug" */

void log_setup(enum log_level level, enum log_format format);
void log_buffered(bool on);
void log_secret(const char *secret); /* copied; shorter than 4 characters: ignored */
bool log_wants(enum log_level level);

/* event: a short stable name such as "partition.assigned"; the text is for a person. */
void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_line(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_line(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_line(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)                                                            \
    do {                                                                                 \
        if (log_wants(LOG_DEBUG))                                                        \
            log_line(LOG_DEBUG, event, __VA_ARGS__);                                     \
    } while (0)

void log_flush(void);
uint64_t log_count(enum log_level level); /* lines so far, written or not */
uint64_t log_lost(void);

#endif
