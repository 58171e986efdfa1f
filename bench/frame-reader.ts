/**
 * Server frames out of a byte stream, as few copies as the stream allows: a message that lies whole
 * within one read is handed on where it lies; only a message cut by a read's end is copied. Fed any
 * way the network cuts (one byte at a time too) it reports the same messages in the same order.
 * Continuation frames are joined. What RFC 6455 forbids a server (masked frames, reserved bits,
 * fragmented or long control frames) ends the stream with a reason. Bytes handed to a sink are valid
 * only during the call.
 */
const REPLY_BYTES_MAX = 16 * 1024 * 1024;

export interface FrameSink {
  /** One whole data message at `bytes[start, end)`. */
  message(bytes: Uint8Array, start: number, end: number): void;
  ping(payload: Uint8Array): void;
  /** 1005 when the frame carried no code. */
  close(code: number, reason: string): void;
  /** The stream breaks RFC 6455; nothing more is read from it. */
  violation(reason: string): void;
}

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export class FrameReader {
  readonly #sink: FrameSink;
  /** Bytes of the frame that the last read cut, from its first header byte. */
  #carry = new Uint8Array(64 * 1024);
  #carryLength = 0;
  /** Payload so far of a message sent in several frames; null between messages. */
  #joined: Uint8Array | null = null;
  #isBroken = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** `bytes[start, end)` may be reused by the caller as soon as this returns. */
  push(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    if (this.#carryLength > 0) at = this.#finishCarried(bytes, at, end);
    while (at < end && !this.#isBroken) {
      const size = this.#frameBytes(bytes, at, end);
      if (size < 0 || size > end - at) {
        if (!this.#isBroken) this.#keep(bytes, at, end, size);
        return;
      }
      this.#frame(bytes, at, at + size);
      at += size;
    }
  }

  /** Tops the carried frame up from the new read, delivers it when whole, returns where to go on. */
  #finishCarried(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    for (;;) {
      const size = this.#frameBytes(this.#carry, 0, this.#carryLength);
      if (this.#isBroken) return end;
      // An unknown size needs header bytes, at most ten of them; one at a time cannot overshoot.
      const wanted = size < 0 ? 1 : size - this.#carryLength;
      const taken = Math.min(wanted, end - at);
      this.#keep(bytes, at, at + taken, size);
      at += taken;
      if (size >= 0 && this.#carryLength === size) {
        this.#carryLength = 0;
        this.#frame(this.#carry, 0, size);
        return at;
      }
      if (at === end) return at;
    }
  }

  #keep(bytes: Uint8Array, start: number, end: number, frameBytes: number): void {
    const length = this.#carryLength + (end - start);
    const needed = Math.max(length, frameBytes);
    if (needed > this.#carry.length) {
      const larger = new Uint8Array(Math.max(needed, this.#carry.length * 2));
      larger.set(this.#carry.subarray(0, this.#carryLength));
      this.#carry = larger;
    }
    this.#carry.set(bytes.subarray(start, end), this.#carryLength);
    this.#carryLength = length;
  }

  /** Size of header and payload, or −1 while the header itself is incomplete. */
  #frameBytes(bytes: Uint8Array, at: number, end: number): number {
    if (end - at < 2) return -1;
    const second = bytes[at + 1] as number; // in range: end - at >= 2
    if (second >= 0x80) return this.#fail('a server frame is masked');
    if (second < 126) return 2 + second;
    if (second === 126) {
      if (end - at < 4) return -1;
      return 4 + (((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)); // in range: end - at >= 4
    }
    if (end - at < 10) return -1;
    let payload = 0;
    for (let i = at + 2; i < at + 10; i += 1) payload = payload * 256 + (bytes[i] as number); // in range: end - at >= 10
    if (payload > REPLY_BYTES_MAX) return this.#fail(`a frame of ${payload} bytes; at most ${REPLY_BYTES_MAX}`);
    return 10 + payload;
  }

  #fail(reason: string): number {
    if (!this.#isBroken) {
      this.#isBroken = true;
      this.#sink.violation(reason);
    }
    return -1;
  }

  #frame(bytes: Uint8Array, at: number, end: number): void {
    const first = bytes[at] as number; // in range: a frame has two bytes at least
    const second = bytes[at + 1] as number; // likewise
    const start = at + (second < 126 ? 2 : second === 126 ? 4 : 10);
    const isFinal = (first & 0x80) !== 0;
    const opcode = first & 0x0f;
    if ((first & 0x70) !== 0) {
      this.#fail('a reserved bit is set, and no extension was agreed');
    } else if (opcode >= OPCODE.close) {
      if (!isFinal || end - start > 125) this.#fail('a control frame is fragmented or longer than 125 bytes');
      else this.#control(opcode, bytes, start, end);
    } else if (opcode > OPCODE.binary) {
      this.#fail(`opcode ${opcode} is unknown`);
    } else if (opcode === OPCODE.continuation) {
      if (this.#joined === null) this.#fail('a continuation frame continues nothing');
      else this.#continue(bytes, start, end, isFinal, this.#joined);
    } else if (this.#joined !== null) {
      this.#fail('a new message begins inside a fragmented one');
    } else if (isFinal) {
      this.#sink.message(bytes, start, end);
    } else {
      this.#joined = bytes.slice(start, end);
    }
  }

  #continue(bytes: Uint8Array, start: number, end: number, isFinal: boolean, joined: Uint8Array): void {
    const length = joined.length + (end - start);
    if (length > REPLY_BYTES_MAX) {
      this.#fail(`a message of ${length} bytes; at most ${REPLY_BYTES_MAX}`);
      return;
    }
    const longer = new Uint8Array(length);
    longer.set(joined);
    longer.set(bytes.subarray(start, end), joined.length);
    this.#joined = isFinal ? null : longer;
    if (isFinal) this.#sink.message(longer, 0, length);
  }

  #control(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    if (opcode === OPCODE.ping) this.#sink.ping(bytes.slice(start, end));
    else if (opcode === OPCODE.close) {
      const hasCode = end - start >= 2;
      const code = hasCode ? ((bytes[start] as number) << 8) | (bytes[start + 1] as number) : 1005; // in range: two bytes at least
      this.#sink.close(code, hasCode ? new TextDecoder().decode(bytes.subarray(start + 2, end)) : '');
    } else if (opcode !== OPCODE.pong) this.#fail(`opcode ${opcode} is unknown`);
  }
}
