// Bearer tokens for pages without a session: asked for when there is need, sent in a header, never in an address.

import { Refused } from "./live.js";

/** @import { Fetch } from "./live.js" */
/** @typedef {string | { token: string, expiresAt?: string }} Token */

const EARLY = 30_000; // a token is asked for again so long before it expires

/**
 * A fetch that sends a bearer token instead of cookies. What gives the token is asked once for all that wait for it.
 * @param {string | (() => Token | Promise<Token>)} token
 * @returns {Fetch}
 */
export function withToken(token) {
  /** @type {Promise<{ text: string, until: number }> | null} */ let held = null;

  async function renew() {
    const given = typeof token === "function" ? await token() : token;
    const { token: text, expiresAt = "" } = typeof given === "string" ? { token: given } : given ?? {};
    if (typeof text !== "string" || !text) {
      throw new TypeError("useMonitoring: token must give a string or {token, expiresAt}.");
    }
    // A clock that is wrong asks more often, but not each time.
    return { text, until: Math.max(Date.parse(expiresAt) - EARLY, Date.now() + EARLY) || Infinity };
  }

  async function current(refused = "") {
    for (;;) {
      const asked = held;
      const now = asked && (await asked);
      if (asked !== held) continue; // another one has it renewed meanwhile
      if (now && now.text !== refused && now.until > Date.now()) return now.text;
      const mine = (held = renew());
      mine.catch(() => held === mine && (held = null));
      return (await mine).text;
    }
  }

  const send = (/** @type {string} */ text, /** @type {string} */ url, /** @type {RequestInit} */ init) => {
    const headers = { .../** @type {any} */ (init.headers), Authorization: `Bearer ${text}` };
    return fetch(url, { ...init, headers, credentials: "omit" });
  };

  return async (url, init) => {
    const text = await current();
    const response = await send(text, url, init);
    if (response.status !== 401 || typeof token !== "function") return response;
    await response.body?.cancel();
    return send(await current(text), url, init);
  };
}

/**
 * What asks the page's own server for a token: an address that answers a GET with {"token", "expiresAt"}.
 * @param {string} url
 * @returns {() => Promise<Token>}
 */
export function tokenFrom(url) {
  return async () => {
    const signal = AbortSignal.timeout(10_000); // all who wait for a token wait for this one
    const response = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store", signal });
    if (!response.ok) throw new Refused(response);
    return response.json();
  };
}
