/**
 * One text for one series, the same whatever the order of its tags: `cpu{host="a",region="eu"}`. Names that are no plain words are
 * quoted as values are. Sorted by code units.
 *
 * @example
 * seriesText('cpu', [['region', 'eu'], ['host', 'a']]) // cpu{host="a",region="eu"}
 */
export function seriesText(name: string, tags: readonly (readonly [string, unknown])[]): string {
  const head = plainWord.test(name) ? name : JSON.stringify(name)
  if (tags.length === 0) return head
  const sorted = [...tags].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  const parts = sorted.map(
    ([key, value]) => `${plainWord.test(key) ? key : JSON.stringify(key)}=${JSON.stringify(value)}`,
  )
  return `${head}{${parts.join(',')}}`
}

const plainWord = /^[A-Za-z_][\w.:-]*$/
