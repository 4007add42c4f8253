/* The partition of a key as Java's producer computes it. Owns nothing. */
#include "kafka/kafka.h"

static uint32_t murmur2(const unsigned char *bytes, size_t len);

int32_t kafka_partition_of(struct str key, int32_t partitions)
{
    if (key.ptr == NULL)
        return -1;
    return (int32_t)((murmur2((const unsigned char *)key.ptr, key.len) & 0x7fffffff) %
                     (uint32_t)partitions);
}

/* MurmurHash2, seed and byte order of org.apache.kafka.common.utils.Utils. */
static uint32_t murmur2(const unsigned char *bytes, size_t len)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28c ^ (uint32_t)len;

    for (; len >= 4; bytes += 4, len -= 4) {
        uint32_t k = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
                     (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;

        k *= m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    if (len >= 3)
        h ^= (uint32_t)bytes[2] << 16;
    if (len >= 2)
        h ^= (uint32_t)bytes[1] << 8;
    if (len >= 1)
        h = (h ^ bytes[0]) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}
