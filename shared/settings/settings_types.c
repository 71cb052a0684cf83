#include "settings_types.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/url.h"
#include "host_pattern.h"
#include "redis/redis_url.h"
#include "settings.h"

#define RELAY_URL_MAX 512

/* False leaves the member as it was. */

static bool parse_text(const struct settings_rule *rule, char **member, const char *value)
{
    size_t len = strlen(value);

    if (len < (size_t)rule->least || len > (size_t)rule->most)
        return false;
    *member = strdup(value);
    return *member != NULL;
}

static bool parse_name(const struct settings_rule *rule, char **member, const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(".-_", *c) == NULL)
            return false;
    return parse_text(rule, member, value);
}

static bool parse_number(const char *value, int64_t least, int64_t most, int64_t *number)
{
    char *end;
    long long parsed;

    if (!isdigit((unsigned char)value[0]))
        return false;
    errno = 0;
    parsed = strtoll(value, &end, 10);
    if (errno != 0 || *end != '\0' || parsed < least || parsed > most)
        return false;
    *number = parsed;
    return true;
}

static bool parse_switch(bool *member, const char *value)
{
    bool on = strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0;
    bool off = strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0;

    *member = on;
    return on || off;
}

static bool parse_proxy(enum settings_proxy *member, const char *value)
{
    bool on;

    if (parse_switch(&on, value))
        *member = on ? SETTINGS_PROXY_EITHER : SETTINGS_PROXY_NONE;
    else if (strcasecmp(value, "Fly-Client-IP") == 0)
        *member = SETTINGS_PROXY_FLY_CLIENT_IP;
    else if (strcasecmp(value, "X-Forwarded-For") == 0)
        *member = SETTINGS_PROXY_FORWARDED_FOR;
    else
        return false;
    return true;
}

static bool parse_level(enum log_level *member, const char *value)
{
    static const struct {
        const char *word;
        enum log_level level;
    } words[] = {
        {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN},   {"warning", LOG_LEVEL_WARN},
        {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG}, {"trace", LOG_LEVEL_DEBUG},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i].word) == 0) {
            *member = words[i].level;
            return true;
        }
    return false;
}

static bool parse_target(enum log_target *member, const char *value)
{
    bool is_syslog = strcmp(value, "syslog") == 0;

    *member = is_syslog ? LOG_TARGET_SYSLOG : LOG_TARGET_STDERR;
    return is_syslog || strcmp(value, "stderr") == 0;
}

/* Lower-cases the scheme and the host of a relay's URL in place; false if it is none. */
static bool normalise_relay(char *text)
{
    struct url url;

    if (url_parse(&url, text, strlen(text), URL_USERINFO_OF_AUTHORITY) != URL_GOOD ||
        (!url_scheme_is(&url, "ws") && !url_scheme_is(&url, "wss")) || url.userinfo.text != NULL ||
        (url.port.text != NULL && url.port.len == 0))
        return false;
    for (char *c = text; c < url.path.text; c++)
        *c = (char)tolower((unsigned char)*c);
    return true;
}

static bool add_relay(struct settings_relays *relays, const char *text, size_t len)
{
    char *url = len <= RELAY_URL_MAX ? strndup(text, len) : NULL;

    if (url == NULL || !normalise_relay(url) || relays->count == SETTINGS_MAX_RELAYS) {
        free(url);
        return false;
    }
    for (size_t i = 0; i < relays->count; i++)
        if (strcmp(relays->url[i], url) == 0) {
            relays->is_repeated[i] = true;
            free(url);
            return true;
        }
    relays->url[relays->count++] = url;
    return true;
}

static bool add_kind(struct settings_kinds *kinds, const char *text, size_t len)
{
    char digits[6];
    int64_t kind;

    if (len == 0 || len >= sizeof digits || kinds->count == SETTINGS_MAX_KINDS)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (!parse_number(digits, 0, 65535, &kind))
        return false;
    for (size_t i = 0; i < kinds->count; i++)
        if (kinds->kind[i] == (uint32_t)kind)
            return true;
    kinds->kind[kinds->count++] = (uint32_t)kind;
    return true;
}

typedef bool add_item_fn(void *list, const char *text, size_t len);

static bool add_relay_item(void *list, const char *text, size_t len)
{
    return add_relay(list, text, len);
}

static bool add_kind_item(void *list, const char *text, size_t len)
{
    return add_kind(list, text, len);
}

/* Splits at commas and drops blanks around items. An empty item is an error, except after a last
 * comma. */
static bool parse_list(void *list, const char *value, add_item_fn *add)
{
    for (bool is_first = true;; is_first = false) {
        size_t len, item;

        value += strspn(value, " \t");
        if (value[0] == '\0' && !is_first)
            return true;
        item = len = strcspn(value, ",");
        while (item > 0 && (value[item - 1] == ' ' || value[item - 1] == '\t'))
            item--;
        if (item == 0 || !add(list, value, item))
            return false;
        if (value[len] == '\0')
            return true;
        value += len + 1;
    }
}

/* Query and fragment are refused, because a path is appended. So is an @ in the path: it may belong
 * to a password. */
static bool parse_https(const struct settings_rule *rule, char **member, const char *value)
{
    size_t len = strlen(value);
    struct url url;

    if (!url_parse_https(&url, value) || strpbrk(value, "@?#") != NULL ||
        !parse_text(rule, member, value))
        return false;
    if ((*member)[len - 1] == '/')
        (*member)[len - 1] = '\0';
    return true;
}

/* Characters of a URI alone (RFC 3986, section 2), so that it needs no escaping in JSON. */
static bool parse_contact(const struct settings_rule *rule, char **member, const char *value)
{
    static const char mail[] = "mailto:";
    const char *at;
    struct url url;

    for (const char *c = value; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("-._~:/?#[]@!$&'()*+,;=%", *c) == NULL)
            return false;
    if (strncasecmp(value, mail, sizeof mail - 1) == 0) {
        at = strchr(value, '@');
        return at != NULL && at > value + sizeof mail - 1 && at[1] != '\0' &&
               parse_text(rule, member, value);
    }
    return url_parse_https(&url, value) && parse_text(rule, member, value);
}

static bool parse_regex(const struct settings_rule *rule, struct settings_regex *member,
                        const char *value)
{
    member->set = strlen(value) <= (size_t)rule->most &&
                  regcomp(&member->compiled, value, REG_EXTENDED | REG_NOSUB) == 0;
    return member->set;
}

bool settings_type_is_placeholder(const uint8_t key[32])
{
    static const uint8_t one[32] = {[31] = 1};

    return memcmp(key, one, sizeof one) == 0;
}

static bool parse_key(struct settings_key *member, const char *value)
{
    if (!hex_decode(member->bytes, sizeof member->bytes, value, strlen(value)))
        return false;
    member->set = !settings_type_is_placeholder(member->bytes);
    return true;
}

bool settings_type_parse(const struct settings_rule *rule, void *member, const char *value)
{
    switch (rule->type) {
    case SETTINGS_TEXT:
        return parse_text(rule, member, value);
    case SETTINGS_NAME:
        return parse_name(rule, member, value);
    case SETTINGS_WHOLE:
        return parse_number(value, rule->least, rule->most, member);
    case SETTINGS_SWITCH:
        return parse_switch(member, value);
    case SETTINGS_PROXY:
        return parse_proxy(member, value);
    case SETTINGS_LEVEL:
        return parse_level(member, value);
    case SETTINGS_TARGET:
        return parse_target(member, value);
    case SETTINGS_RELAYS:
        return parse_list(member, value, add_relay_item);
    case SETTINGS_KINDS:
        return parse_list(member, value, add_kind_item);
    case SETTINGS_HTTPS:
        return parse_https(rule, member, value);
    case SETTINGS_CONTACT:
        return parse_contact(rule, member, value);
    case SETTINGS_REGEX:
        return parse_regex(rule, member, value);
    case SETTINGS_SECRET_REDIS:
        return redis_url_problem(value) == NULL && parse_text(rule, member, value);
    case SETTINGS_SECRET_TEXT:
        return parse_text(rule, member, value);
    case SETTINGS_SECRET_KEY:
        return parse_key(member, value);
    }
    return false;
}

void settings_type_print(const struct settings_rule *rule, FILE *out)
{
    switch (rule->type) {
    case SETTINGS_WHOLE:
        (void)fprintf(out, "a whole number from %" PRId64 " to %" PRId64 " (%s)", rule->least,
                      rule->most, rule->unit);
        break;
    case SETTINGS_TEXT:
        (void)fprintf(out, "%s of %" PRId64 " to %" PRId64 " characters", rule->unit, rule->least,
                      rule->most);
        break;
    case SETTINGS_SWITCH:
        (void)fputs("true or false", out);
        break;
    default:
        (void)fputs(rule->unit, out);
    }
}

const char *settings_type_hint(const struct settings_rule *rule, const char *value)
{
    return rule->type == SETTINGS_SECRET_REDIS ? redis_url_problem(value) : NULL;
}

const char *settings_type_warning(const struct settings_rule *rule, const char *value)
{
    if (rule->type == SETTINGS_LEVEL && strcasecmp(value, "trace") == 0)
        return "counts as debug";
    if (rule->type == SETTINGS_REGEX && !host_pattern_has_end(value))
        return "without $ at its end it admits longer hosts, too, as ntfy\\.sh does "
               "ntfy.sh.evil.example: e.g. ^(.*\\.)?ntfy\\.sh$";
    if (rule->type == SETTINGS_REGEX && !host_pattern_has_beginning(value))
        return "without ^ at its beginning it admits longer hosts, too, as ntfy\\.sh$ does "
               "evil-ntfy.sh: e.g. ^(.*\\.)?ntfy\\.sh$";
    return NULL;
}

bool settings_type_is_secret(const struct settings_rule *rule)
{
    return rule->type == SETTINGS_SECRET_REDIS || rule->type == SETTINGS_SECRET_TEXT ||
           rule->type == SETTINGS_SECRET_KEY;
}

/* What cannot be read as a key may all the same be one, in another form. */
static bool is_key(const char *value)
{
    struct settings_key key = {.set = true};
    bool is = !parse_key(&key, value) || key.set;

    explicit_bzero(&key, sizeof key);
    return is;
}

bool settings_type_holds_secret(const struct settings_rule *rule, const char *value)
{
    if (value[0] == '\0' || !settings_type_is_secret(rule))
        return false;
    if (rule->type == SETTINGS_SECRET_REDIS)
        return strncmp(value, "unix:", 5) != 0 && strchr(value, '@') != NULL;
    return rule->type != SETTINGS_SECRET_KEY || is_key(value);
}

static void free_text(char **text, bool secret)
{
    if (*text != NULL && secret)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

static void free_relays(struct settings_relays *relays)
{
    for (size_t i = 0; i < relays->count; i++)
        free(relays->url[i]);
    relays->count = 0;
}

static void free_regex(struct settings_regex *regex)
{
    if (regex->set)
        regfree(&regex->compiled);
    regex->set = false;
}

void settings_type_free(const struct settings_rule *rule, void *member)
{
    switch (rule->type) {
    case SETTINGS_TEXT:
    case SETTINGS_NAME:
    case SETTINGS_HTTPS:
    case SETTINGS_CONTACT:
    case SETTINGS_SECRET_REDIS:
    case SETTINGS_SECRET_TEXT:
        free_text(member, settings_type_is_secret(rule));
        break;
    case SETTINGS_SECRET_KEY:
        explicit_bzero(member, sizeof(struct settings_key));
        break;
    case SETTINGS_RELAYS:
        free_relays(member);
        break;
    case SETTINGS_REGEX:
        free_regex(member);
        break;
    case SETTINGS_WHOLE:
    case SETTINGS_SWITCH:
    case SETTINGS_PROXY:
    case SETTINGS_LEVEL:
    case SETTINGS_TARGET:
    case SETTINGS_KINDS:
        break;
    }
}
