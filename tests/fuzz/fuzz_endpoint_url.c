/* Endpoint URLs: what is admitted must be admitted by libcurl's parser too, and mean the same. */
#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>

#include "device/endpoint_url.h"
#include "fuzz_input.h"

/* The expression that admits this host alone, which is of letters, digits, `.`, `-` and `_`. */
static void match_host_alone(const char *url, const char *host)
{
    char pattern[1024] = "^";
    size_t len = 1;
    regex_t regex;

    for (; *host != '\0'; host++)
        len += (size_t)sprintf(pattern + len, *host == '.' ? "[%c]" : "%c",
                               tolower((unsigned char)*host));
    (void)strcpy(pattern + len, "$");
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0 ||
        !endpoint_url_host_matches(url, strlen(url), &regex))
        abort();
    regfree(&regex);
}

/* The host that a push would connect to, which must be the one that was checked. */
static void compare_with_curl(const char *url)
{
    CURLU *parsed = curl_url();
    char *host = NULL, *scheme = NULL, *user = NULL;
    const char *begin = strstr(url, "://") + 3;

    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        abort();
    if (strcmp(scheme, "https") != 0 ||
        curl_url_get(parsed, CURLUPART_USER, &user, 0) != CURLUE_NO_USER)
        abort();
    /* An IPv6 address may be written in several ways. */
    if (host[0] != '[') {
        if (strncasecmp(begin, host, strlen(host)) != 0)
            abort();
        match_host_alone(url, host);
    }
    curl_free(host);
    curl_free(scheme);
    curl_url_cleanup(parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = malloc(size + 1);

    if (url == NULL)
        abort();
    memcpy(url, data, size);
    url[size] = '\0';
    (void)endpoint_url_is_valid(url, size, true);
    if (endpoint_url_is_valid(url, size, false)) {
        if (!endpoint_url_is_valid(url, size, true))
            abort();
        compare_with_curl(url);
    }
    free(url);
    return 0;
}
