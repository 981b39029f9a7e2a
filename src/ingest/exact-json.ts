/** A number literal that a JavaScript number would change: `"properties.id": 9007199254740993`. */
export class ExactNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toJSON(): string {
    return exactMark + this.text
  }
}

const exactMark = '\ue0f0num:'
const exactMarked = new RegExp(`"${exactMark}([^"]*)"`, 'g')

/** JSON text of a value that may hold exact numbers. */
export function toJsonText(value: unknown): string {
  const text = JSON.stringify(value)
  return text.includes(exactMark) ? text.replace(exactMarked, '$1') : text
}

/**
 * JSON.parse, but a number of 16 digits and more, or with an exponent of three, stays what was written (1e400 would be
 * infinite, which JSON prints as null). Only lines that hold such a number pay: their literals are put into quotes first
 * and revived.
 */
export function parseExactJson(text: string): unknown {
  if (!/\d[\d.]{15}|\d[eE][+-]?\d{3}/.test(text)) return JSON.parse(text)
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d(?:[\d.]*[eE][+-]?\d{3,}|[\d.eE+-]{15,})/g, (token) => {
    if (token.charCodeAt(0) === 34) return token
    // what is no number must stay an error; what a number keeps as it is stays one
    return String(Number(token)) === token || !/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(token)
      ? token
      : `"${exactMark}${token}"`
  })
  return JSON.parse(marked, (_key, value) =>
    typeof value === 'string' && value.startsWith(exactMark)
      ? new ExactNumber(value.slice(exactMark.length))
      : value,
  )
}
