/* Tokens: any bearer but "invalid" (or exactly --token); the channel API's JWT when
 * --app-secret says with which key it is made. */
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"

#include "sandbox.h"

static bool refuse(struct call *c, const char *why)
{
    call_error(c, 401, "Unauthenticated", "%s", why);
    return false;
}

/* base64url to base64 in place of OpenSSL's missing decoder; returns the decoded length.
 */
static size_t decode_url64(struct str s, unsigned char *out, size_t size)
{
    char text[2048] = "";
    size_t n = s.len;
    if (n + 4 > sizeof text || n / 4 * 3 + 3 > size)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char ch = s.ptr[i];
        text[i] = ch == '-' ? '+' : ch;
        if (ch == '_')
            text[i] = '/';
    }
    size_t pad = (4 - n % 4) % 4;
    memset(text + n, '=', pad);
    int len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)(n + pad));
    return len > 0 && (size_t)len > pad ? (size_t)len - pad : 0;
}

static bool signature_holds(const char *secret, struct str signed_part,
                            struct str signature)
{
    unsigned char want[EVP_MAX_MD_SIZE], got[2048];
    unsigned int want_len = 0;
    size_t got_len = decode_url64(signature, got, sizeof got);
    if (HMAC(EVP_sha256(), secret, (int)strlen(secret),
             (const unsigned char *)signed_part.ptr, signed_part.len, want,
             &want_len) == NULL)
        return false;
    return got_len == want_len && CRYPTO_memcmp(got, want, want_len) == 0;
}

/* iss, sub, jti and exp as Front's channel template makes them. */
static const char *claims_fault(struct call *c, const json_t *claims)
{
    const char *sub = json_string_value(json_object_get(claims, "sub"));
    double exp = json_number_value(json_object_get(claims, "exp"));
    double now =
        (double)(c->sb->started_wall_ms + sandbox_ms(c->sb) - c->sb->started_ms) / 1000;
    if (json_string_value(json_object_get(claims, "iss")) == NULL || sub == NULL ||
        json_string_value(json_object_get(claims, "jti")) == NULL)
        return "Invalid token: iss, sub and jti are required";
    if (exp < now)
        return "Token expired";
    if (c->n_segments > 1 && strcmp(c->segments[0], "channels") == 0 &&
        strcmp(sub, c->segments[1]) != 0)
        return "Invalid token: sub is not this channel";
    return NULL;
}

static bool jwt_check(struct call *c, struct str token)
{
    unsigned char text[2048];
    struct str rest = token, head = str_split(&rest, '.'), claims = str_split(&rest, '.');
    struct str signed_part = {token.ptr, head.len + 1 + claims.len};
    if (!signature_holds(c->sb->opt.app_secret, signed_part, rest))
        return refuse(c, "Invalid token");
    size_t len = decode_url64(claims, text, sizeof text);
    json_t *j = json_loadb((const char *)text, len, 0, NULL);
    const char *fault = claims_fault(c, j);
    json_decref(j);
    return fault == NULL || refuse(c, fault);
}

static bool looks_like_jwt(struct str token)
{
    size_t dots = 0;
    for (size_t i = 0; i < token.len; i++)
        dots += token.ptr[i] == '.';
    return dots == 2;
}

bool auth_check(struct call *c, bool *channel_api)
{
    const char *header = server_header(c, "Authorization");
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0 || header[7] == '\0')
        return refuse(c, "Missing token");
    struct str token = str_trim(str_of(header + 7));
    if (str_is(token, "invalid"))
        return refuse(c, "Invalid token");
    *channel_api = looks_like_jwt(token);
    if (*channel_api && c->sb->opt.app_secret != NULL)
        return jwt_check(c, token);
    if (!*channel_api && c->sb->opt.token != NULL && !str_is(token, c->sb->opt.token))
        return refuse(c, "Invalid token");
    return true;
}
