/* URLs: whatever we take for one for HTTP, libcurl connects to the host and the port that we name.
 * The first byte chooses how userinfo ends; the rest is the URL. */
#include <curl/curl.h>
#include <string.h>

#include "base/url.h"
#include "device/endpoint_url.h"
#include "fuzz_input.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* A part lies in the text, at or behind *from, which becomes its end. */
static void expect_inside(struct url_part part, const char **from, const char *end)
{
    if (part.text == NULL)
        return;
    require(part.text >= *from && part.len <= (size_t)(end - part.text));
    *from = part.text + part.len;
}

static void check_parts(const struct url *url, const char *text, size_t len)
{
    const char *at = text, *end = text + len;

    expect_inside(url->scheme, &at, end);
    expect_inside(url->userinfo, &at, end);
    expect_inside(url->host, &at, end);
    expect_inside(url->zone, &at, end);
    expect_inside(url->port, &at, end);
    expect_inside(url->path, &at, end);
    expect_inside(url->query, &at, end);
    expect_inside(url->fragment, &at, end);
    require(at == end || (at + 1 == end && *at == ']'));
}

/* libcurl shortens an IPv6 address where it can, and keeps the case of its digits. */
static void expect_host(const struct url *url, const char *curl)
{
    char ours[URL_HOST_SIZE], theirs[URL_HOST_SIZE];
    struct url other;
    char text[URL_HOST_SIZE + 8];

    require(snprintf(text, sizeof text, "x://%s", curl) < (int)sizeof text);
    require(url_parse(&other, text, strlen(text), URL_USERINFO_OF_AUTHORITY) == URL_GOOD);
    url_write_host(ours, url);
    url_write_host(theirs, &other);
    require(strcmp(ours, theirs) == 0 && url->host_kind == other.host_kind);
}

static void compare_with_curl(const struct url *url, const char *text)
{
    /* As a transfer parses its URL. */
    unsigned flags = CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS;
    CURLU *parser = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *zone = NULL, *user = NULL;

    if (curl_url_set(parser, CURLUPART_URL, text, flags) != CURLUE_OK) {
        require(url->userinfo.text != NULL);
        curl_url_cleanup(parser);
        return;
    }
    require(curl_url_get(parser, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
            curl_url_get(parser, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
            curl_url_get(parser, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
    require(curl_url_get(parser, CURLUPART_ZONEID, &zone, 0) == CURLUE_NO_ZONEID);
    require(url->userinfo.text != NULL ||
            curl_url_get(parser, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
    require(url_scheme_is(url, scheme));
    require(url_port(url) == atoi(port));
    expect_host(url, host);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parser);
}

static void check_endpoint(const struct url *url, const char *text, size_t len)
{
    bool is_private = endpoint_url_is_valid(text, len, true);

    require(is_private || !endpoint_url_is_valid(text, len, false));
    if (is_private)
        require(url_is_for_http(url) && url->userinfo.text == NULL && url_port(url) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = size - 1;
    enum url_fault fault;
    struct url url;
    char *text;

    if (size == 0)
        return 0;
    text = malloc(len + 1);
    require(text != NULL);
    memcpy(text, data + 1, len);
    text[len] = '\0';
    fault = url_parse(&url, text, len,
                      data[0] % 2 == 0 ? URL_USERINFO_OF_AUTHORITY : URL_USERINFO_TO_LAST_AT);
    if (fault == URL_GOOD)
        check_parts(&url, text, len);
    if (data[0] % 2 == 0) {
        if (fault == URL_GOOD && url_is_for_http(&url))
            compare_with_curl(&url, text);
        if (fault == URL_GOOD)
            check_endpoint(&url, text, len);
        else
            require(!endpoint_url_is_valid(text, len, true));
    }
    free(text);
    return 0;
}
