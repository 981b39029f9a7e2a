/** Writes line protocol by the rules of its reference, apart from what reads it. */

export type WrittenField =
  | { readonly kind: 'float' | 'text'; readonly text: string }
  | { readonly kind: 'integer' | 'unsigned'; readonly value: bigint }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'boolean'; readonly word: string }

export interface WrittenPoint {
  readonly measurement: string
  readonly tags: readonly (readonly [string, string])[]
  readonly fields: readonly (readonly [string, WrittenField])[]
  /** In the precision of the body; null: none. */
  readonly time: bigint | null
}

export function writeLine(point: WrittenPoint): string {
  let line = point.measurement.split(',').join('\\,').split(' ').join('\\ ')
  for (const [key, value] of point.tags) line += `,${escapeKey(key)}=${escapeKey(value)}`
  line += ` ${point.fields.map(([key, value]) => `${escapeKey(key)}=${writeField(value)}`).join(',')}`
  return point.time === null ? line : `${line} ${point.time}`
}

function escapeKey(text: string): string {
  return [...text].map((c) => (c === ',' || c === '=' || c === ' ' ? `\\${c}` : c)).join('')
}

function writeField(field: WrittenField): string {
  switch (field.kind) {
    case 'integer':
      return `${field.value}i`
    case 'unsigned':
      return `${field.value}u`
    case 'string':
      return `"${field.value.split('\\').join('\\\\').split('"').join('\\"')}"`
    case 'boolean':
      return field.word
    default:
      return field.text
  }
}
