import { daysFromCivil, daysInMonth } from '../time/index.ts'
import { type Parse, readOffset } from './parse-time.ts'

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/** Longest first, since the pattern is read from the left. */
const tokens: Readonly<Record<string, string>> = {
  YYYY: '(?<year>\\d{4})',
  MMM: '(?<monthName>[A-Za-z]{3,9})',
  MM: '(?<month>\\d{2})',
  M: '(?<month>\\d{1,2})',
  DD: '(?<day>\\d{2})',
  D: '(?<day>\\d{1,2})',
  HH: '(?<hour>\\d{2})',
  H: '(?<hour>\\d{1,2})',
  hh: '(?<hour12>\\d{2})',
  h: '(?<hour12>\\d{1,2})',
  mm: '(?<minute>\\d{2})',
  ss: '(?<second>\\d{2})',
  SSS: '(?<fraction>\\d{1,9})',
  A: '(?<half>[AaPp]\\.?[Mm]\\.?)',
  Z: '(?<zone>[Zz]|UTC|GMT|[+-]\\d{2}(?::?\\d{2})?)',
}
const tokenForm = /YYYY|MMM|MM|M|DD|D|HH|H|hh|h|mm|ss|SSS|A|Z|\[[^\]]*\]|[\s\S]/g

/** What is wrong with a pattern. */
export class PatternProblem extends Error {}

/**
 * A pattern of tokens (YYYY MM M DD D MMM HH H hh h mm ss SSS A Z), text in brackets and other characters that stand
 * for themselves. A space stands for one or more.
 */
export function compilePattern(pattern: string): Parse {
  let source = ''
  const seen = new Set<string>()
  for (const [token] of pattern.matchAll(tokenForm)) {
    const part = tokens[token]
    if (part !== undefined) {
      const group = /<(\w+)>/.exec(part)![1]!
      if (seen.has(group)) throw new PatternProblem(`"${token}" stands twice`)
      seen.add(group)
      source += part
    } else if (token === ' ') source += '\\s+'
    else if (/[A-Za-z]/.test(token) && !token.startsWith('['))
      throw new PatternProblem(`"${token}" is no token; put text into brackets: [${token}]`)
    else
      source += (token.startsWith('[') && token.length > 1 ? token.slice(1, -1) : token).replace(
        /[\\^$.*+?()[\]{}|/-]/g,
        '\\$&',
      )
  }
  if (!seen.has('year') || !(seen.has('month') || seen.has('monthName')) || !seen.has('day'))
    throw new PatternProblem('a pattern needs year, month and day (YYYY, MM or MMM, DD)')
  if (seen.has('hour12') && !seen.has('half')) throw new PatternProblem('hh needs A (AM or PM)')
  const form = new RegExp(`^${source}$`)
  return (text, into) => {
    const groups = form.exec(text)?.groups
    if (!groups) return false
    const year = Number(groups.year)
    const month =
      groups.month !== undefined
        ? Number(groups.month)
        : months.indexOf(groups.monthName!.slice(0, 3).toLowerCase()) + 1
    const day = Number(groups.day)
    if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false
    let hour = Number(groups.hour ?? 0)
    if (groups.hour12 !== undefined) {
      hour = Number(groups.hour12)
      if (hour < 1 || hour > 12) return false
      hour = (hour % 12) + (groups.half!.toLowerCase().startsWith('p') ? 12 : 0)
    }
    const minute = Number(groups.minute ?? 0)
    const second = Number(groups.second ?? 0)
    if (hour > 23 || minute > 59 || second > 60) return false
    const fraction = groups.fraction ?? ''
    const cut = fraction.slice(6)
    into.beyond = cut === '' ? 0 : /[1-9]/.test(cut) ? 2 : 1
    into.offset = null
    if (groups.zone !== undefined && !readOffset(groups.zone, 0, into)) return false
    const seconds = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    into.local = BigInt(seconds) * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, '0'))
    return true
  }
}
