// nostr-relay: a relay in memory, made of @nostr-relay/core on ws.
//
//     node nostr-relay.cjs '{"auth": "connect", "admits": ["<pubkey>"], "compresses": true}'
//
// auth: who asks for gift wraps has to authenticate (NIP-42), the challenge coming with the
//       connection ("connect") or with the refusal of a REQ ("req"); without it, nobody has to
// compresses: messages of 1,024 bytes and more
// admits: the pubkeys that may see them then; without it, all
//
// Prints its URL, then a line of JSON for every REQ and AUTH. Ends with its standard input.
const { EventRepository, EventUtils, LogLevel } = require('@nostr-relay/common')
const { NostrRelay } = require('@nostr-relay/core')
const { Validator } = require('@nostr-relay/validator')
const { WebSocketServer } = require('ws')

const HOST = '127.0.0.1'
const GIFT_WRAP = 1059
const MAX_ANSWER = 500
const options = JSON.parse(process.argv[2] || '{}')

const newestFirst = (a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)

class Memory extends EventRepository {
  events = new Map()

  isSearchSupported() {
    return false
  }

  upsert(event) {
    const isDuplicate = this.events.has(event.id)
    this.events.set(event.id, event)
    return { isDuplicate }
  }

  find(filter) {
    return [...this.events.values()]
      .filter((event) => EventUtils.isMatchingFilter(event, filter))
      .sort(newestFirst)
      .slice(0, Math.min(filter.limit ?? MAX_ANSWER, MAX_ANSWER))
  }
}

// Why a REQ is refused, or nothing.
function refusal(ctx, filters) {
  if (!options.auth || !filters.every(({ kinds }) => kinds && kinds.includes(GIFT_WRAP))) return
  if (!ctx.pubkey) return 'auth-required: for your own eyes'
  if (options.admits && !options.admits.includes(ctx.pubkey)) return 'restricted: for others'
}

const guard = {
  async handleMessage(ctx, message, next) {
    const [type, name, ...filters] = message
    const why = type === 'REQ' && refusal(ctx, filters)
    if (why && options.auth === 'req') ctx.sendMessage(['AUTH', ctx.id])
    if (why) return ctx.sendMessage(['CLOSED', name, why])
    return next()
  }
}

const relay = new NostrRelay(new Memory(), {
  hostname: options.auth && HOST,
  logLevel: LogLevel.ERROR,
  filterResultCacheTtl: 0
})
relay.register(guard)
const validator = new Validator()
const perMessageDeflate = options.compresses && { serverNoContextTakeover: true, threshold: 1024 }
const server = new WebSocketServer({ host: HOST, port: 0, perMessageDeflate })

async function receive(socket, data) {
  try {
    const message = await validator.validateIncomingMessage(data)
    await relay.handleMessage(socket, message)
    if (message[0] === 'REQ' || message[0] === 'AUTH') console.log(JSON.stringify(message))
  } catch (error) {
    socket.send(JSON.stringify(['NOTICE', error.message]))
  }
}

server.on('connection', (socket) => {
  if (options.auth === 'connect') relay.handleConnection(socket)
  socket.on('error', () => {})
  socket.on('close', () => relay.handleDisconnect(socket))
  socket.on('message', (data) => receive(socket, data))
})
server.on('listening', () => console.log(`ws://${HOST}:${server.address().port}`))
process.stdin.resume().on('end', () => process.exit())
