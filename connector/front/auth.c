/* See auth.h. */
#include "front/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define JWT_LIFE_S 10

static const char *base64url(const void *data, size_t len, struct arena *a);

const char *auth_bearer(const char *token, struct arena *a)
{
    return arena_printf(a, "Bearer %s", token != NULL ? token : "");
}

const char *auth_channel(const char *app_uid, const char *app_secret,
                         struct str channel_id, int64_t wall_ms, struct arena *a)
{
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    unsigned char random[16], mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char jti[33];
    if (app_uid == NULL || app_secret == NULL || app_uid[0] == 0 || app_secret[0] == 0)
        return NULL;
    if (RAND_bytes(random, sizeof random) != 1)
        return NULL;
    hex_encode(random, sizeof random, jti);
    const char *claims = arena_printf(
        a, "{\"iss\":\"%s\",\"sub\":\"%.*s\",\"jti\":\"%s\",\"exp\":%lld}", app_uid,
        STR_ARG(channel_id), jti, (long long)(wall_ms / 1000 + JWT_LIFE_S));
    const char *signed_part =
        arena_printf(a, "%s.%s", base64url(head, sizeof head - 1, a),
                     base64url(claims, strlen(claims), a));
    HMAC(EVP_sha256(), app_secret, (int)strlen(app_secret),
         (const unsigned char *)signed_part, strlen(signed_part), mac, &mac_len);
    return arena_printf(a, "Bearer %s.%s", signed_part, base64url(mac, mac_len, a));
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
