/** Bytes as text, and the other way around. */

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} text */
export function fromHex(text) {
  return Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
}

/** A UUID as 16 bytes. @param {string} text */
export function uuidBytes(text) {
  return fromHex(text.replace(/-/g, ""));
}

/** 16 bytes as a UUID. @param {Uint8Array} bytes */
export function uuidText(bytes) {
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** @param {Uint8Array[]} parts */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Text of ASCII characters. @param {string} text */
export function ascii(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
