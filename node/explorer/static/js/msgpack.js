// A strict reader of the node's canonical msgpack: arrays, integers, bytes, text, booleans, nil. Maps, floats, extension types, longer
// spellings than needed and trailing bytes are refused, as the node refuses them. Integers come as BigInt, bytes as Uint8Array.

const DEPTH_MAX = 32;
const ITEMS_MAX = 1_000_000;
const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class MalformedError extends Error {}

/** The one value of `bytes`. Throws `MalformedError`. */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(DEPTH_MAX);
  if (reader.place !== bytes.length) throw new MalformedError("bytes after the value");
  return value;
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.place = 0;
    this.items = ITEMS_MAX;
  }

  take(count) {
    if (this.place + count > this.bytes.length) throw new MalformedError("cut off");
    const part = this.bytes.subarray(this.place, this.place + count);
    this.place += count;
    return part;
  }

  /** A big-endian number of `size` bytes that must be above `least`: else there is a shorter spelling. */
  number(size, least) {
    let found = 0n;
    for (const byte of this.take(size)) found = (found << 8n) | BigInt(byte);
    if (found <= least) throw new MalformedError("not the shortest spelling");
    return found;
  }

  negative(size, least) {
    const found = BigInt.asIntN(8 * size, this.number(size, -1n));
    if (found >= least) throw new MalformedError("not the shortest spelling");
    return found;
  }

  value(depth) {
    const first = this.take(1)[0];
    if (first < 0x80) return BigInt(first);
    if (first >= 0xe0) return BigInt(first) - 256n;
    if (first >= 0x90 && first < 0xa0) return this.array(first & 15, depth);
    if (first >= 0xa0 && first < 0xc0) return this.text(first & 31);
    switch (first) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.take(Number(this.number(1, -1n)));
      case 0xc5: return this.take(Number(this.number(2, 0xffn)));
      case 0xc6: return this.take(Number(this.number(4, 0xffffn)));
      case 0xcc: return this.number(1, 0x7fn);
      case 0xcd: return this.number(2, 0xffn);
      case 0xce: return this.number(4, 0xffffn);
      case 0xcf: return this.number(8, 0xffffffffn);
      case 0xd0: return this.negative(1, -32n);
      case 0xd1: return this.negative(2, -128n);
      case 0xd2: return this.negative(4, -32768n);
      case 0xd3: return this.negative(8, -2147483648n);
      case 0xd9: return this.text(Number(this.number(1, 31n)));
      case 0xda: return this.text(Number(this.number(2, 0xffn)));
      case 0xdb: return this.text(Number(this.number(4, 0xffffn)));
      case 0xdc: return this.array(Number(this.number(2, 15n)), depth);
      case 0xdd: return this.array(Number(this.number(4, 0xffffn)), depth);
      default: throw new MalformedError("a type that is never used");
    }
  }

  array(count, depth) {
    if (depth === 0) throw new MalformedError("nested too deeply");
    this.items -= count;
    if (this.items < 0 || count > this.bytes.length - this.place) throw new MalformedError("too many items");
    return Array.from({ length: count }, () => this.value(depth - 1));
  }

  text(count) {
    try {
      return TEXT.decode(this.take(count));
    } catch (error) {
      if (error instanceof MalformedError) throw error;
      throw new MalformedError("text that is not UTF-8");
    }
  }
}

const AMOUNT_BYTES_MAX = 80;

/** The amount of minimal big-endian bytes. Throws `MalformedError`. */
export const amountOf = (bytes) => naturalOf(bytes, AMOUNT_BYTES_MAX);

/** As `amountOf`, for sums and products that may be longer than an amount. */
export function naturalOf(bytes, bytesMax = 4 * AMOUNT_BYTES_MAX) {
  if (!(bytes instanceof Uint8Array) || bytes.length > bytesMax || bytes[0] === 0) throw new MalformedError("not an amount");
  let amount = 0n;
  for (const byte of bytes) amount = (amount << 8n) | BigInt(byte);
  return amount;
}
