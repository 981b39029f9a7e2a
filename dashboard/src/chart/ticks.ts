/** What stands at the marks of the axes. Pure. */

const formats = new Map<string, Intl.DateTimeFormat>()

function partsOf(ms: number, zone: string): Readonly<Record<string, string>> {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'short',
      day: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      fractionalSecondDigits: 3,
    })
    formats.set(zone, format)
  }
  return Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]))
}

/**
 * Names of moments on an axis whose marks are so far apart: the time, and below it the day where a new one begins.
 *
 * @example timeTicks([0, 3_600_000], 3_600_000, 'UTC') // ['00:00\n1 Jan 1970', '01:00']
 */
export function timeTicks(marks: readonly number[], apart: number, zone: string): readonly string[] {
  let before = ''
  return marks.map((ms) => {
    const { year, month, day, hour, minute, second, fractionalSecond } = partsOf(ms, zone)
    const date = `${day} ${month} ${year}`
    if (apart >= 300 * 86_400_000) return String(year)
    if (apart >= 27 * 86_400_000) {
      const isNew = before !== year
      before = String(year)
      return isNew ? `${month}\n${year}` : String(month)
    }
    if (apart >= 86_400_000) {
      const isNew = before !== year
      before = String(year)
      return isNew ? `${day} ${month}\n${year}` : `${day} ${month}`
    }
    const time = `${hour}:${minute}${apart < 60_000 ? `:${second}` : ''}${apart < 1000 ? `.${fractionalSecond}` : ''}`
    const isNew = before !== date
    before = date
    return isNew ? `${time}\n${date}` : time
  })
}

/** #rrggbb between two others. */
export function mix(from: string, to: string, share: number): string {
  const [a, b] = [channels(from), channels(to)]
  const part = (i: number): string =>
    Math.round((a[i] as number) + ((b[i] as number) - (a[i] as number)) * share)
      .toString(16)
      .padStart(2, '0')
  return `#${part(0)}${part(1)}${part(2)}`
}

function channels(color: string): readonly number[] {
  const hex = /^#([0-9a-f]{6})$/i.exec(color.trim())?.[1] ?? '808080'
  return [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16))
}
