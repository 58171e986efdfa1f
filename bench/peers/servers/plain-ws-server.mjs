/**
 * A decision server with nothing behind it: `ws`, a Map in the process, MessagePack frames. The bound on what any
 * single-threaded Node server over this library can do; it forgets everybody when it ends.
 */
import { Packr } from 'msgpackr';
import { WebSocketServer } from 'ws';
import { decide, newProfile } from '../decision.mjs';

const packr = new Packr({ useRecords: false });
const profiles = new Map();

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: false,
  handleProtocols: (offered) => [...offered][0] ?? false,
});
server.on('connection', (socket) => {
  socket.on('message', (bytes) => {
    const { id, profile: key, context } = packr.unpack(bytes);
    let profile = profiles.get(key);
    if (profile === undefined) {
      profile = newProfile(key);
      profiles.set(key, profile);
    }
    const decision = decide(profile, context ?? {}, Date.now(), Math.random);
    socket.send(packr.pack({ id, ok: true, actions: decision === null ? [] : [decision] }));
  });
});
server.on('listening', () => console.log(JSON.stringify({ port: server.address().port })));
process.on('SIGTERM', () => process.exit(0));
