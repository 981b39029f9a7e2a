import type { ColumnNotes } from './convert-context.ts'

/**
 * A sentence for each thing that was done to values on the way in.
 *
 * @example
 * describeNotes(report.notes)
 * // ['customerId: 417,534 whole numbers were written with a fraction of zeros or an exponent']
 */
export function describeNotes(notes: Readonly<Record<string, ColumnNotes>>): string[] {
  return Object.entries(notes).flatMap(([column, note]) => {
    const lines: string[] = []
    for (const [word, count] of Object.entries(note.nullWords))
      lines.push(`${JSON.stringify(word)} was read as null ${times(count)}`)
    if (note.wholeFractions > 0)
      lines.push(
        `${number(note.wholeFractions)} whole numbers were written with a fraction of zeros or an exponent`,
      )
    if (note.scientific > 0)
      lines.push(`${number(note.scientific)} numbers in scientific notation were written out`)
    if (note.longFractions > 0)
      lines.push(
        `${number(note.longFractions)} times were cut to the microsecond, ${number(note.truncated)} of them lost digits other than zero`,
      )
    return lines.map((line) => `${column}: ${line}`)
  })
}

function number(count: number): string {
  return count.toLocaleString('en-US')
}

function times(count: number): string {
  return count === 1 ? 'once' : `${number(count)} times`
}
