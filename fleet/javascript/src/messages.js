/** The messages of proto/constellation/v1/, read from their own description. */

import {
  create,
  createFileRegistry,
  fromBinary,
  protoInt64,
  toBinary,
} from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

import { SCHEMA } from "./schema.js";

const PACKAGE = "constellation.v1.";

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, base64Decode(SCHEMA)),
);

/** @param {string} name Without the package: "SyncRequest". */
function schema(name) {
  const found = registry.getMessage(PACKAGE + name);
  if (!found) throw new Error(`no message ${name}`);
  return found;
}

/**
 * Serialise. Fields are named as in the schema, in camelCase; those left out are absent.
 *
 * @param {string} name
 * @param {any} fields
 * @returns {Uint8Array}
 */
export function encode(name, fields) {
  return toBinary(schema(name), create(schema(name), fields));
}

/**
 * Parse; throws on what is no such message.
 *
 * @param {string} name
 * @param {Uint8Array} bytes
 * @returns {any}
 */
export function decode(name, bytes) {
  return fromBinary(schema(name), bytes);
}

/** A uint64 for `encode`. @param {number} value */
export function int64(value) {
  return protoInt64.parse(String(value));
}

/**
 * A 64-bit field as a number; throws beyond 2^53, where numbers would be off.
 *
 * @param {bigint | string} value
 */
export function number(value) {
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new RangeError(`${value} is beyond 2^53`);
  return result;
}

/**
 * The words of JSON by the numbers of an enum; 0 is "".
 *
 * @param {string} name As "TimeOfDay".
 * @returns {string[]}
 */
export function words(name) {
  const found = registry.getEnum(PACKAGE + name);
  if (!found) throw new Error(`no enum ${name}`);
  const prefix = name.replace(/[A-Z]/g, "_$&").toUpperCase().length;
  const byNumber = [];
  for (const value of found.values) {
    byNumber[value.number] = value.number
      ? value.name.slice(prefix).toLowerCase()
      : "";
  }
  return byNumber;
}
