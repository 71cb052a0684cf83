/* user_agent: how this server names itself to relays, FCM and distributors. Large providers' front
 * ends refuse requests without a name. */
#ifndef MOSTRO_USER_AGENT_H
#define MOSTRO_USER_AGENT_H

#define USER_AGENT "mostro-push/" PACKAGE_VERSION

#endif
