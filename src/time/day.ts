import { civilFromDays, daysFromCivil } from './civil.ts'

/** PostgreSQL's dates as days since 1970-01-01, infinities as it keeps them. */
export const infiniteDay = 2147483647
export const infinitePastDay = -2147483648

/** `2026-01-31`, `10000-01-01`, `0044-03-15 BC`, `infinity`, `-infinity`; NaN for anything else. */
export function dayOfText(text: string): number {
  if (text === 'infinity') return infiniteDay
  if (text === '-infinity') return infinitePastDay
  const match = /^(\d+)-(\d\d)-(\d\d)( BC)?$/.exec(text)
  if (!match) return Number.NaN
  const year = match[4] ? 1 - Number(match[1]) : Number(match[1])
  return daysFromCivil(year, Number(match[2]), Number(match[3]))
}

export function textOfDay(day: number): string {
  if (day === infiniteDay) return 'infinity'
  if (day === infinitePastDay) return '-infinity'
  const { year, month, day: date } = civilFromDays(day)
  const two = (value: number): string => String(value).padStart(2, '0')
  const text = `${String(year > 0 ? year : 1 - year).padStart(4, '0')}-${two(month)}-${two(date)}`
  return year > 0 ? text : `${text} BC`
}
