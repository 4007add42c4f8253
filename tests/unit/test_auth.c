/* Authorization values, read back by an independent decoder. */
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "front/auth.h"
#include "arena_help.h"

/* Back from base64url; dies on any character that is none. */
static size_t decode(struct str s, unsigned char *out, size_t size)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    size_t n = 0, have = 0;

    for (size_t i = 0; i < s.len; i++) {
        const char *at = memchr(digits, s.ptr[i], sizeof digits - 1);
        assert_non_null(at);
        bits = bits << 6 | (uint32_t)(at - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            assert_true(n < size);
            out[n++] = (unsigned char)(bits >> have);
        }
    }
    return n;
}

/* The claims of a token, after its head and its signature were checked. */
static json_t *claims_of(const char *value, const char *secret)
{
    unsigned char text[4096], mac[64], expected[EVP_MAX_MD_SIZE];
    unsigned expected_len = 0;
    struct str rest = str_of(value), head, claims;

    assert_true(str_starts(rest, "Bearer "));
    rest.ptr += 7;
    rest.len -= 7;
    const char *start = rest.ptr;
    head = str_split(&rest, '.');
    claims = str_split(&rest, '.');
    assert_non_null(rest.ptr);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)start,
         head.len + 1 + claims.len, expected, &expected_len);
    assert_int_equal(decode(rest, mac, sizeof mac), expected_len);
    assert_memory_equal(mac, expected, expected_len);
    size_t n = decode(head, text, sizeof text);
    json_t *root = json_loadb((char *)text, n, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "alg")), "HS256");
    assert_string_equal(json_string_value(json_object_get(root, "typ")), "JWT");
    json_decref(root);
    n = decode(claims, text, sizeof text);
    root = json_loadb((char *)text, n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    return root;
}

static void the_companys_token(void **state)
{
    (void)state;
    assert_string_equal(auth_bearer("abc.def", &arena), "Bearer abc.def");
    assert_string_equal(auth_bearer("", &arena), "Bearer ");
}

static void a_channels_token(void **state)
{
    (void)state;
    static const struct {
        const char *uid, *secret, *channel;
        int64_t wall_ms, exp;
    } rows[] = {{"app_1", "s", "cha_1", 1700000000999, 1700000010},
                {"app_12", "a longer secret with ?>~", "alt:address:a@b.c", 0, 10},
                {"a", "s", "c", 123456789012, 123456799},
                {"a\"b", "s", "x\",\"exp\":9999999999,\"sub\":\"cha_2", 1000, 11},
                {"\xc3\xa9", "s", "back\\slash", 1000, 11}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *value =
            auth_channel(rows[i].uid, rows[i].secret, str_of(rows[i].channel),
                         rows[i].wall_ms, &arena);
        json_t *c = claims_of(value, rows[i].secret);
        assert_string_equal(json_string_value(json_object_get(c, "iss")), rows[i].uid);
        assert_string_equal(json_string_value(json_object_get(c, "sub")),
                            rows[i].channel);
        assert_int_equal(json_integer_value(json_object_get(c, "exp")), rows[i].exp);
        assert_int_equal(strlen(json_string_value(json_object_get(c, "jti"))), 32);
        assert_int_equal(json_object_size(c), 4);
        json_decref(c);
    }
}

static void no_two_are_alike(void **state)
{
    (void)state;
    const char *a = auth_channel("a", "s", STR_LIT("c"), 1, &arena);
    const char *b = auth_channel("a", "s", STR_LIT("c"), 1, &arena);

    assert_string_not_equal(a, b);
}

static void without_uid_or_secret_there_is_none(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {NULL, "s"}, {"a", NULL}, {NULL, NULL}, {"", "s"}, {"a", ""}};

    for (size_t i = 0; i < COUNT(rows); i++)
        assert_null(auth_channel(rows[i][0], rows[i][1], STR_LIT("c"), 0, &arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_companys_token),
        cmocka_unit_test(a_channels_token),
        cmocka_unit_test(no_two_are_alike),
        cmocka_unit_test(without_uid_or_secret_there_is_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
