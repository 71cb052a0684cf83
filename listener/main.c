/* mostro-push-listener: follows the relays, queues wakes, and pushes. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "listener.h"
#include "log.h"
#include "process.h"

static const char about[] =
    "Follows Nostr relays for events that name a registered trade pubkey, and wakes the phones\n"
    "behind them through FCM and UnifiedPush.";

/* Every thread inherits this, so that signals are taken by the main thread alone. */
static void block_stop_signals(sigset_t *stop)
{
    (void)sigemptyset(stop);
    (void)sigaddset(stop, SIGTERM);
    (void)sigaddset(stop, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, stop, NULL);
}

static int run(const struct settings *settings)
{
    const struct timespec beat = {.tv_sec = LISTENER_BEAT_MS / 1000,
                                  .tv_nsec = LISTENER_BEAT_MS % 1000 * 1000000L};
    struct listener *listener;
    sigset_t stop;
    int status = EXIT_SUCCESS;

    block_stop_signals(&stop);
    listener = listener_start(settings);
    if (listener == NULL)
        return EXIT_FAILURE;
    do {
        if (!listener_beat(listener)) {
            status = EXIT_FAILURE;
            break;
        }
    } while (sigtimedwait(&stop, NULL, &beat) < 0);
    log_info("stopping");
    listener_stop(&listener);
    return status;
}

int main(int argc, char **argv)
{
    struct settings *settings = NULL;
    int status = EXIT_SUCCESS;

    switch (
        process_begin(argc, argv, "mostro-push-listener", about, SETTINGS_LISTENER, &settings)) {
    case PROCESS_DONE:
        return EXIT_SUCCESS;
    case PROCESS_FAILED:
        return 2;
    case PROCESS_CHECK:
        break;
    case PROCESS_RUN:
        if (settings->without_effect[0] != '\0')
            log_warn("settings that have no effect:%s", settings->without_effect);
        status = run(settings);
        break;
    }
    settings_free(&settings);
    return status;
}
