import { type NamedTimeFormat, probeTime, TimeReader } from './time-format.ts'

export type TimeGuess =
  | {
      readonly kind: 'found'
      readonly format: string
      readonly reason: string
      readonly isLocal: 'all' | 'some' | 'none'
    }
  | { readonly kind: 'ambiguous'; readonly formats: readonly string[]; readonly example: string }
  | { readonly kind: 'unknown'; readonly example: string }

/** Below: seconds until the year 5138, milliseconds from 1973, microseconds from 1973, nanoseconds from 1973. */
const magnitudes: readonly { below: number; format: NamedTimeFormat; unit: string }[] = [
  { below: 1e11, format: 'unix-s', unit: 'seconds' },
  { below: 1e14, format: 'unix-ms', unit: 'milliseconds' },
  { below: 1e17, format: 'unix-us', unit: 'microseconds' },
  { below: 1e20, format: 'unix-ns', unit: 'nanoseconds' },
]

const dayForms = ['/', '-', '.'].flatMap((s) => [
  { pattern: `M${s}D${s}YYYY`, other: `D${s}M${s}YYYY` },
  { pattern: `D${s}M${s}YYYY`, other: `M${s}D${s}YYYY` },
])
const otherForms = ['YYYY/M/D', 'YYYY.M.D', 'YYYY-M-D', 'D MMM YYYY', 'MMM D, YYYY', 'D-MMM-YYYY']
const clockForms = [
  '',
  ' H:mm',
  ' H:mm:ss',
  ' H:mm:ss.SSS',
  ' h:mm A',
  ' h:mm:ss A',
  ', H:mm:ss',
  ', h:mm:ss A',
  ' H.mm.ss',
]

/**
 * The format in which most of the samples are times. Day before month or month before day is only decided by a
 * sample that can be read one way; when there is none the answer is `ambiguous`, and the user must say.
 */
export function guessTimeFormat(samples: readonly string[]): TimeGuess {
  const example = samples[0] ?? ''
  const numeric = samples.filter((text) => /^[+-]?\d+(\.\d+)?$/.test(text))
  if (numeric.length * 2 > samples.length) {
    const asDay = probeTime('YYYYMMDD')
    if (numeric.every((text) => text.length === 8 && /^(19|20)/.test(text) && asDay(text) !== 'no'))
      return {
        kind: 'found',
        format: 'YYYYMMDD',
        reason: `${quote(numeric[0]!)} has eight digits that are a date`,
        isLocal: 'all',
      }
    const found = new Set(
      numeric.map((text) => magnitudes.find((m) => Math.abs(Number(text)) < m.below)?.format ?? 'unknown'),
    )
    // 0 and other small numbers are seconds of 1970 by size; they do not vote against a larger unit
    if (found.size === 2 && numeric.every((text) => Math.abs(Number(text)) >= 1e8 || Number(text) === 0))
      if (numeric.some((text) => Number(text) === 0)) found.delete('unix-s')
    const [format] = found
    if (found.size !== 1 || format === undefined || format === 'unknown')
      return { kind: 'ambiguous', formats: [...found].filter((f) => f !== 'unknown'), example: numeric[0]! }
    const { unit } = magnitudes.find((m) => m.format === format)!
    const shown = numeric.find((text) => Number(text) !== 0) ?? numeric[0]!
    const micros = new TimeReader(format, null).read(shown)
    const year =
      micros === null ? '' : `, which is ${new Date(Number(micros / 1000n)).toISOString().slice(0, 19)}Z`
    return {
      kind: 'found',
      format,
      reason: `${shown} is of the size of ${unit} since 1970${year}`,
      isLocal: 'none',
    }
  }
  const candidates = [
    'iso',
    'clf',
    ...dayForms.flatMap((form) => clockForms.map((clock) => form.pattern + clock)),
    ...otherForms.flatMap((form) => clockForms.map((clock) => form + clock)),
  ]
  let best: { format: string; hits: number; local: number; sample: string } | null = null
  for (const format of candidates) {
    const probe = probeTime(format)
    let hits = 0
    let local = 0
    let sample = ''
    for (const text of samples) {
      const answer = probe(text)
      if (answer === 'no') continue
      if (hits++ === 0) sample = text
      if (answer === 'local') local++
    }
    if (hits > (best?.hits ?? 0)) best = { format, hits, local, sample }
  }
  if (best === null || best.hits * 2 < samples.length) return { kind: 'unknown', example }
  const dayForm = dayForms.find((form) => best.format.startsWith(form.pattern))
  if (dayForm) {
    const other = dayForm.other + best.format.slice(dayForm.pattern.length)
    const probe = probeTime(other)
    if (samples.filter((text) => probe(text) !== 'no').length === best.hits)
      return { kind: 'ambiguous', formats: [best.format, other], example: best.sample }
  }
  return {
    kind: 'found',
    format: best.format,
    reason: `${best.hits} of the first ${samples.length} values have it, such as ${quote(best.sample)}`,
    isLocal: best.local === best.hits ? 'all' : best.local > 0 ? 'some' : 'none',
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)
}
