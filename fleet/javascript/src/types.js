/**
 * Shapes that several modules share. No code.
 *
 * @typedef {object} LearnedPattern One taste of a household.
 * @property {string} id UUID.
 * @property {Float32Array} embedding 384 numbers.
 * @property {number} watchedCount How often something of this taste was watched.
 * @property {number} likedCount How often it was liked.
 * @property {Context} [context]
 * @property {string[]} [contentIds] At most 8.
 *
 * @typedef {object} Context Words of the JSON form; left out where nothing stands out.
 * @property {string} [timeOfDay]
 * @property {string} [dayOfWeek]
 * @property {string} [contentType]
 * @property {string[]} [genreHints] At most 8.
 *
 * @typedef {object} Answer What a door heard.
 * @property {number} status Of HTTP, or what gRPC's stands for.
 * @property {any} [reply] The message, beside a status of 200 or 201.
 * @property {Problem} [problem] Beside any other.
 * @property {string | null} [retryAfter]
 * @property {number} bytesUp Of the body.
 * @property {number} bytesDown Of the body, as far as it is known.
 *
 * @typedef {object} Problem The members of application/problem+json, as docs/errors.md
 *   lists them.
 * @property {string} [code]
 * @property {string} [title]
 * @property {string} [detail]
 * @property {string} [field]
 * @property {number} [local_version]
 *
 * @typedef {object} HttpRequest
 * @property {string} method
 * @property {string} url
 * @property {{[name: string]: string}} headers
 * @property {Uint8Array} [body]
 *
 * @typedef {object} HttpResponse
 * @property {number} status
 * @property {(name: string) => string | null} header
 * @property {Uint8Array} body Without a Content-Encoding.
 * @property {number} bytesDown With it, as far as that is known.
 *
 * @typedef {(request: HttpRequest) => Promise<HttpResponse>} Http Throws NoAnswer.
 *
 * @typedef {object} Door The way to the server.
 * @property {(message: object) => Promise<Answer>} enrol
 * @property {(message: object, at: Address) => Promise<Answer>} sync
 *
 * @typedef {object} Address Where a TV lives, and what opens it there.
 * @property {string | null} token
 * @property {string | null} syncUrl
 * @property {string | null} grpcTarget
 *
 * @typedef {object} Storage A text that survives pulling the plug.
 * @property {() => Promise<string | null>} load
 * @property {(text: string) => Promise<void>} save Done means: it is there after a crash,
 *   whole, or still what was there before.
 *
 * @typedef {object} Cache Bundles by their SHA-256 in hexadecimal.
 * @property {(sha256: string) => Promise<Uint8Array | null>} get
 * @property {(sha256: string, bytes: Uint8Array) => Promise<void>} put
 */
export {};
