/* Which URLs that came from outside are looked at, as libcurl reads them. Pure; owns
 * nothing. */
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "net/http_client.h"
#include "net/http_lines.h"

int http_url_check(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    int rc = 0;

    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        strcmp(scheme, "https") != 0)
        rc = err_input(e, "page-link", "not an https URL");
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return rc;
}

/* What an encoded path says of "." and "..": a server may take it for another path than
 * the one that was allowed. */
static bool has_dot_segment(const char *path)
{
    struct str rest = str_of(path);

    while (rest.ptr != NULL) {
        struct str segment = str_split(&rest, '/');
        size_t dots = 0, i = 0;

        while (i < segment.len) {
            bool coded =
                segment.len - i >= 3 && strncasecmp(segment.ptr + i, "%2e", 3) == 0;

            if (!coded && segment.ptr[i] != '.')
                break;
            dots++;
            i += coded ? 3 : 1;
        }
        if (i == segment.len && (dots == 1 || dots == 2))
            return true;
    }
    return false;
}

int http_url_check_fetch(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *path = NULL, *user = NULL, *password = NULL;
    int rc = 0;

    if (!http_lines_encoded(url) || strpbrk(url, "\\\"<>^`{|}") != NULL ||
        curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        rc = err_input(e, NULL,
                       "is no URL, or one with a fragment or a character that "
                       "must be percent-encoded");
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        rc = err_input(e, NULL, "must begin with https:// or http://");
    else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK ||
             curl_url_get(u, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
        rc = err_input(e, NULL, "must not have a user's name or password");
    else if (has_dot_segment(path))
        rc = err_input(e, NULL, "must not have dot segments");
    curl_free(scheme);
    curl_free(path);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(u);
    return rc;
}
