/**
 * Makes UUIDs of version 7: sorted by time, and in the order of their making where several are of one millisecond, so
 * that a sorted list of keys is a queue. Not `crypto.randomUUID`, which pages without https do not have.
 */
export function createIds(): () => string {
  // 48 bits of milliseconds and 12 that count on: 60 bits as one number, of which a double rounds the counter away in 2039
  let last = 0
  return () => {
    last = Math.max(Date.now() * 4096, last + 1)
    const time = last.toString(16).padStart(15, '0')
    const random = [...crypto.getRandomValues(new Uint8Array(8))]
      .map((byte, i) => (i ? byte : (byte & 63) | 128).toString(16).padStart(2, '0'))
      .join('')
    return `${time.slice(0, 8)}-${time.slice(8, 12)}-7${time.slice(12)}-${random.slice(0, 4)}-${random.slice(4)}`
  }
}
