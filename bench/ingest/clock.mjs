// A clock that may run faster than the machine's, so that minutes pass in seconds; the same in every process that has its orders.

/** @param {{ originMs: number, speed: number }} orders */
export function createClock({ originMs, speed }) {
  const nowMs = () => originMs + (Date.now() - originMs) * speed
  return { nowMs, now: () => BigInt(Math.floor(nowMs() * 1000)) }
}
