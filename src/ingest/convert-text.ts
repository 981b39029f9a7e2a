import {
  type CanonicalValue,
  type ColumnDefinition,
  type ColumnType,
  createCoercer,
  ValueProblem,
} from '../schema/index.ts'
import { microsPerDay, textOfDay } from '../time/index.ts'
import { isWellFormed } from '../util/well-formed.ts'
import { type ConvertContext, refuse, type refused, refuseNul } from './convert-context.ts'
import { convertArray, parseArrayLiteral, parseJsonArray, toStoredJson } from './convert-json.ts'
import { parseExactJson } from './exact-json.ts'
import { decimalForm, intRanges, toFloat, toSmallInt, toWhole } from './read-number.ts'
import type { TimeReader } from './time-format.ts'

const uuidForm = /^\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?$/i
const trueWords = new Set(['true', 't', 'yes', 'y', 'on', '1'])
const falseWords = new Set(['false', 'f', 'no', 'n', 'off', '0'])

/** From text to the canonical form of the column's type, or `refused`. `time`: for timestamptz and date. */
export function createTextConvert(
  column: ColumnDefinition,
  time: TimeReader | null,
  context: ConvertContext,
): (text: string) => CanonicalValue | typeof refused {
  const type: ColumnType = column.type
  const notes = context.notes
  switch (type) {
    case 'text':
      return (text) => {
        if (text.includes('\0')) return refuseNul(context)
        // only JSON can bring one: its escapes can say what UTF-8 cannot
        if (!isWellFormed(text)) return refuse(context, 'encoding', 'it holds half of a surrogate pair')
        return text
      }
    case 'float8':
      return (text) => {
        const value = toFloat(text)
        return value === null ? refuse(context, 'type', 'it is no number') : value
      }
    case 'float4':
      return (text) => {
        const value = toFloat(text)
        if (value === null) return refuse(context, 'type', 'it is no number')
        if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
          return refuse(context, 'range', 'it is outside of float4: about ±3.4e38')
        return Math.fround(value)
      }
    case 'int2':
    case 'int4': {
      const min = Number(intRanges[type][0])
      const max = Number(intRanges[type][1])
      return (text) => {
        const value = toSmallInt(text)
        if (value !== null)
          return value >= min && value <= max
            ? value
            : refuse(context, 'range', `it is outside ${min}..${max}`)
        const whole = toWhole(text, notes)
        if (whole === null) return refuse(context, 'type', `it is no ${type} (a whole number)`)
        return whole >= intRanges[type][0] && whole <= intRanges[type][1]
          ? Number(whole)
          : refuse(context, 'range', `it is outside ${min}..${max}`)
      }
    }
    case 'int8':
      return (text) => {
        const value = toSmallInt(text)
        if (value !== null) return BigInt(value)
        const whole = toWhole(text, notes)
        if (whole === null) return refuse(context, 'type', 'it is no int8 (a whole number)')
        return whole >= intRanges.int8[0] && whole <= intRanges.int8[1]
          ? whole
          : refuse(context, 'range', `it is outside ${intRanges.int8[0]}..${intRanges.int8[1]}`)
      }
    case 'numeric': {
      const coerce = createCoercer(column)
      return (text) => {
        const value = coerce(text)
        if (value instanceof ValueProblem)
          return refuse(context, decimalForm.test(text) ? 'range' : 'type', value.problem)
        if (/[eE]/.test(text) && decimalForm.test(text)) notes.scientific++
        return value
      }
    }
    case 'bool':
      return (text) => {
        const word = text.toLowerCase()
        if (trueWords.has(word)) return true
        if (falseWords.has(word)) return false
        return refuse(
          context,
          'type',
          'it is no truth value (true, false, t, f, yes, no, y, n, on, off, 1, 0)',
        )
      }
    case 'uuid':
      return (text) => {
        if (!uuidForm.test(text)) return refuse(context, 'type', 'it is no uuid')
        const hex = text.replace(/[{}-]/g, '').toLowerCase()
        return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
      }
    case 'timestamptz': {
      const reader = time!
      return (text) => {
        const micros = reader.read(text)
        if (micros !== null) return micros
        if (reader.problem === 'time_zone')
          return refuse(context, 'time_zone', 'the time has no zone; give timeZone (--time-zone UTC)')
        if (reader.problem === 'range')
          return refuse(context, 'range', 'it is outside what timestamptz can hold')
        return refuse(context, 'time', `it is no time of the format ${reader.format}`)
      }
    }
    case 'date': {
      const reader = time!
      return (text) => {
        const micros = reader.readLocal(text)
        if (micros === null) return refuse(context, 'time', `it is no date of the format ${reader.format}`)
        if (micros % microsPerDay !== 0n) return refuse(context, 'type', 'it is a date with a time of day')
        return textOfDay(Number(micros / microsPerDay))
      }
    }
    case 'jsonb':
      return (text) => {
        let value: unknown
        try {
          value = parseExactJson(text)
        } catch {
          return refuse(context, 'type', 'it is no JSON')
        }
        return toStoredJson(value, context)
      }
    case 'text[]':
      return (text) => {
        const items = text.startsWith('[') ? parseJsonArray(text) : parseArrayLiteral(text)
        return items === null
          ? refuse(context, 'type', 'it is no array: ["a","b"] or {a,b}')
          : convertArray(items, context)
      }
  }
}
