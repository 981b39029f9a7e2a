import { formatInstant, type Instant } from '../time/index.ts'

/**
 * An instant as text that PostgreSQL casts to timestamptz without loss, also before the year 1 and after 9999, where
 * ISO 8601 and PostgreSQL write years differently.
 */
export function timestamptzText(instant: Instant): string {
  const text = formatInstant(instant)
  const match = /^([+-])(\d{6})(-.*)$/.exec(text)
  if (match === null) return text
  const [, sign, digits, rest] = match
  const year = Number(digits) * (sign === '-' ? -1 : 1)
  return year > 0 ? `${year}${rest}` : `${String(1 - year).padStart(4, '0')}${rest} BC`
}
