/**
 * A client of the wire protocol that shares no code with ours: the package `ws` for frames, msgpackr or
 * the platform's JSON for their content. It sends whatever it is told, right or wrong, and keeps what
 * comes back: replies by id, and how the connection ended.
 */
import { Packr, Unpackr } from 'msgpackr';
import WebSocket, { type ClientOptions } from 'ws';

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

export const SUBPROTOCOLS = { msgpack: 'opportune.v1.msgpack', json: 'opportune.v1.json' } as const;
export type WireEncoding = keyof typeof SUBPROTOCOLS;

// biome-ignore lint/suspicious/noExplicitAny: replies are read field by field, and a wrong one fails the test
export type WireReply = Record<string, any>;

export class WirePeer {
  readonly encoding: WireEncoding;
  readonly socket: WebSocket;
  /** Everything received, in order; arrays of replies as their replies. */
  readonly received: WireReply[] = [];
  /** Received frames, in order, as they were. */
  frameCount = 0;
  /** Close code; 1006 when there was no close frame. */
  readonly closed: Promise<number>;
  closeCode: number | undefined = undefined;
  readonly #waiting = new Map<number, { resolve: (reply: WireReply) => void; reject: (error: Error) => void }>();
  #nextId = 1;

  private constructor(url: string, encoding: WireEncoding, options: ClientOptions) {
    this.encoding = encoding;
    this.socket = new WebSocket(url, SUBPROTOCOLS[encoding], { perMessageDeflate: false, ...options });
    this.socket.on('message', (data: Buffer, isBinary) => this.#take(data, isBinary));
    this.socket.on('error', () => {}); // The close that follows is what tests look at.
    this.closed = new Promise((resolve) => {
      this.socket.once('close', (code) => {
        this.closeCode = code;
        for (const { reject } of this.#waiting.values()) reject(new Error(`closed with ${code} before the reply`));
        this.#waiting.clear();
        resolve(code);
      });
    });
  }

  static async connect(
    url: string,
    encoding: WireEncoding = 'msgpack',
    options: ClientOptions = {},
  ): Promise<WirePeer> {
    const peer = new WirePeer(url, encoding, options);
    await new Promise<void>((resolve, reject) => {
      peer.socket.once('open', resolve);
      peer.socket.once('error', reject);
    });
    return peer;
  }

  encode(value: unknown): Buffer {
    return this.encoding === 'msgpack' ? packr.pack(value) : Buffer.from(JSON.stringify(value));
  }

  /** Any bytes, in a frame of the encoding's kind unless told otherwise. */
  sendBytes(bytes: Uint8Array, isBinary = this.encoding === 'msgpack'): void {
    this.socket.send(bytes, { binary: isBinary });
  }

  /** One frame with this value, as it is. */
  send(value: unknown): void {
    this.sendBytes(this.encode(value));
  }

  takeId(): number {
    return this.#nextId++;
  }

  /** The reply to the request with this id, refusals included; rejects when the connection ends first. */
  replyTo(id: number): Promise<WireReply> {
    const early = this.received.find((reply) => reply.id === id);
    if (early !== undefined) return Promise.resolve(early);
    if (this.closeCode !== undefined) return Promise.reject(new Error(`closed with ${this.closeCode}`));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** Sends one request under a fresh id and gives its reply, refusals included. */
  ask(request: Readonly<Record<string, unknown>>): Promise<WireReply> {
    const id = this.takeId();
    const reply = this.replyTo(id);
    this.send({ id, ...request });
    return reply;
  }

  /** Sends all in one frame under fresh ids; the replies in the order of the requests. */
  askBatch(requests: readonly Readonly<Record<string, unknown>>[]): Promise<WireReply[]> {
    const numbered = requests.map((request) => ({ id: this.takeId(), ...request }));
    const replies = Promise.all(numbered.map(({ id }) => this.replyTo(id)));
    this.send(numbered);
    return replies;
  }

  /** As `ask`, and the reply must be a good one. */
  async must(request: Readonly<Record<string, unknown>>): Promise<WireReply> {
    const reply = await this.ask(request);
    if (reply.ok !== true) throw new Error(`${String(request.op)}: ${reply.code} ${reply.message}`);
    return reply;
  }

  close(): void {
    this.socket.close();
  }

  #take(data: Buffer, isBinary: boolean): void {
    this.frameCount++;
    if (isBinary !== (this.encoding === 'msgpack')) throw new Error('a frame of the other kind');
    const value = (isBinary ? unpackr.unpack(data) : JSON.parse(data.toString('utf8'))) as WireReply | WireReply[];
    for (const reply of Array.isArray(value) ? value : [value]) {
      this.received.push(reply);
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      waiting?.resolve(reply);
    }
  }
}
