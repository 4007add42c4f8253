/* The metrics of contracts §6 as rows; the enum names the rows. */
#ifndef ENGINE_METRICS_TABLE_H
#define ENGINE_METRICS_TABLE_H

#include "base/metrics.h"

enum metric_id {
    M_BUILD_INFO,
    M_RECEIVED,
    M_FINISHED,
    M_RETURNED,
    M_DEAD_LETTERS,
    M_OPEN,
    M_OLDEST_OPEN,
    M_DURATION,
    M_IN_DOUBT,
    M_REPLAYS,
    M_ITEMS_MISTYPED,
    M_API_REQUESTS,
    M_API_DURATION,
    M_API_RETRIES,
    M_API_AUTHORIZED,
    M_QUOTA_LIMIT,
    M_QUOTA_REMAINING,
    M_QUOTA_RESET,
    M_QUOTA_TICKETS,
    M_QUOTA_SPENT,
    M_QUOTA_REFUSALS,
    M_LAG,
    M_LEDGER_BYTES,
    M_WINDOW_FULL,
    M_TRANSACTIONS,
    M_TRANSACTION_SECONDS,
    M_REBALANCES,
    M_JOBS,
    M_JOB_RESULTS,
    M_JOB_ITEMS,
    M_SYNC_SUCCESS,
    M_HEAL_WATERMARK,
    M_WEBHOOKS,
    M_WEBHOOK_SECONDS,
    M_WEBHOOK_LAST,
    M_EVENTS,
    M_EVENT_DELAY,
    M_SLOW_TURNS,
    M_LOG_MESSAGES,
    METRICS
};

extern const struct metric_row metrics_table[METRICS];

#endif
