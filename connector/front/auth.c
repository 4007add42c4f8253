/* See auth.h. */
#include "front/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"

enum { JWT_LIFE_S = 10, CLAIMS_MAX_BYTES = 64 * 1024 };

static const char *base64url(const void *data, size_t len, struct arena *a);

const char *auth_bearer(const char *token, struct arena *a)
{
    return arena_printf(a, "Bearer %s", token != NULL ? token : "");
}

/* The channel id comes from a command: it is quoted, so that it cannot add claims. */
const char *auth_channel(const char *app_uid, const char *app_secret,
                         struct str channel_id, int64_t wall_ms, struct arena *a)
{
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    unsigned char random[16], mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char jti[33];
    struct buf claims;
    const char *text = NULL;

    if (app_uid == NULL || app_secret == NULL || app_uid[0] == 0 || app_secret[0] == 0)
        return NULL;
    if (RAND_bytes(random, sizeof random) != 1)
        abort();
    hex_encode(random, sizeof random, jti);
    buf_init(&claims, CLAIMS_MAX_BYTES);
    (void)buf_add_cstr(&claims, "{\"iss\":");
    (void)json_quote(&claims, str_of(app_uid));
    (void)buf_add_cstr(&claims, ",\"sub\":");
    (void)json_quote(&claims, channel_id);
    (void)buf_printf(&claims, ",\"jti\":\"%s\",\"exp\":%lld}", jti,
                     (long long)(wall_ms / 1000 + JWT_LIFE_S));
    if (!claims.over) {
        text = arena_printf(a, "%s.%s", base64url(head, sizeof head - 1, a),
                            base64url(claims.data, claims.len, a));
        if (HMAC(EVP_sha256(), app_secret, (int)strlen(app_secret),
                 (const unsigned char *)text, strlen(text), mac, &mac_len) == NULL)
            abort();
        text = arena_printf(a, "Bearer %s.%s", text, base64url(mac, mac_len, a));
    }
    buf_fini(&claims);
    return text;
}

static const char *base64url(const void *data, size_t len, struct arena *a)
{
    char *out = arena_alloc(a, (len + 2) / 3 * 4 + 1);
    int n = EVP_EncodeBlock((unsigned char *)out, data, (int)len);

    while (n > 0 && out[n - 1] == '=')
        out[--n] = 0;
    for (int i = 0; i < n; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    return out;
}
