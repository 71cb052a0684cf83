// publish-wraps: makes gift wraps as clients do, by nostr-tools, and publishes them.
//
//     node publish-wraps.cjs RELAY PUBKEY nip59|nip17 [BYTES]
//
// Ends well when the relay has taken it.
const nip17 = require('nostr-tools/nip17')
const nip59 = require('nostr-tools/nip59')
const { generateSecretKey } = require('nostr-tools/pure')
const { Relay, useWebSocketImplementation } = require('nostr-tools/relay')

useWebSocketImplementation(require('ws'))

const makers = {
  nip59: (sender, publicKey, content) => nip59.wrapEvent({ kind: 14, content }, sender, publicKey),
  nip17: (sender, publicKey, content) => nip17.wrapEvent(sender, { publicKey }, content)
}

async function main(url, publicKey, how, bytes = 32) {
  const event = makers[how](generateSecretKey(), publicKey, 'm'.repeat(bytes))
  const relay = await Relay.connect(url)
  await relay.publish(event)
  relay.close()
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
