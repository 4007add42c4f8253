/* See http_peer.h. The special-purpose registries of IANA, as prefixes. Pure.
 * Invariant: of IPv6 only global unicast is public, and what carries an IPv4 address is
 * judged by that one, so no spelling of an address leads around the table. */
#include "net/http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct prefix {
    unsigned char bytes[16];
    int bits;
    const char *what; /* NULL: public */
};

static const struct prefix v4[] = {
    {{0}, 8, "this network"},
    {{10}, 8, "private"},
    {{100, 64}, 10, "shared by a carrier"},
    {{127}, 8, "loopback"},
    {{169, 254}, 16, "link-local"},
    {{172, 16}, 12, "private"},
    {{192, 0, 0}, 24, "reserved"},
    {{192, 0, 2}, 24, "for documentation"},
    {{192, 88, 99}, 24, "reserved"},
    {{192, 168}, 16, "private"},
    {{198, 18}, 15, "for benchmarks"},
    {{198, 51, 100}, 24, "for documentation"},
    {{203, 0, 113}, 24, "for documentation"},
    {{224}, 4, "multicast"},
    {{240}, 4, "reserved"},
    {{0}, 0, NULL},
};

/* The first that matches; those with an IPv4 address in them were looked at before. */
static const struct prefix v6[] = {
    {{0xfc}, 7, "private"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xff}, 8, "multicast"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "for documentation"},
    {{0x20, 0x01, 0x00}, 23, "reserved"}, /* Teredo, benchmarks, ORCHID */
    {{0x20, 0x02}, 16, "a tunnel"},
    {{0x3f, 0xff, 0x00}, 20, "for documentation"},
    {{0x20}, 3, NULL},    /* global unicast */
    {{0}, 0, "reserved"}, /* ::, ::1, site-local and what nobody has given out */
};

/* ::ffff:a.b.c.d, and what a translator makes of it. */
static const struct prefix carries_v4[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, NULL},
    {{0x00, 0x64, 0xff, 0x9b}, 96, NULL},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool matches(const struct prefix *p, const unsigned char *addr)
{
    int whole = p->bits / 8, rest = p->bits % 8;

    return memcmp(p->bytes, addr, (size_t)whole) == 0 &&
           (rest == 0 || (p->bytes[whole] ^ addr[whole]) >> (8 - rest) == 0);
}

static const char *find(const struct prefix *rows, const unsigned char *addr)
{
    while (!matches(rows, addr))
        rows++; /* the last row matches all */
    return rows->what;
}

static const char *v6_reserved(const unsigned char *addr)
{
    static const unsigned char loopback[16] = {[15] = 1};
    size_t i;

    if (memcmp(addr, loopback, sizeof(loopback)) == 0)
        return "loopback";
    for (i = 0; i < COUNT(carries_v4); i++)
        if (matches(&carries_v4[i], addr))
            return find(v4, addr + 12);
    return find(v6, addr);
}

const char *http_peer_reserved(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, addr, sizeof(in));
        return find(v4, (const unsigned char *)&in.sin_addr);
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, addr, sizeof(in6));
        return v6_reserved((const unsigned char *)&in6.sin6_addr);
    }
    return "no address";
}

const char *http_peer_text_reserved(const char *text)
{
    unsigned char addr[16];

    if (inet_pton(AF_INET, text, addr) == 1)
        return find(v4, addr);
    if (inet_pton(AF_INET6, text, addr) == 1)
        return v6_reserved(addr);
    return "no address";
}

void http_peer_print(const struct sockaddr *addr, char *out, size_t size)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    out[0] = '\0';
    if (addr->sa_family == AF_INET) {
        memcpy(&in, addr, sizeof(in));
        (void)inet_ntop(AF_INET, &in.sin_addr, out, (socklen_t)size);
    } else if (addr->sa_family == AF_INET6) {
        memcpy(&in6, addr, sizeof(in6));
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, out, (socklen_t)size);
    }
}
