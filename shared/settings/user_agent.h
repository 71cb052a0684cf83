/* user_agent: how this server names itself to relays, FCM and distributors. Front ends of large
 * providers refuse requests that name nobody. */
#ifndef MOSTRO_USER_AGENT_H
#define MOSTRO_USER_AGENT_H

#define USER_AGENT "mostro-push/" PACKAGE_VERSION

#endif
