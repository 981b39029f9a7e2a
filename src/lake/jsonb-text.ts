/**
 * JSON as PostgreSQL prints jsonb: keys once (the last of equal ones), ordered by length in bytes and then by bytes, numbers as
 * numeric prints them, a space behind each comma and colon. Rows that never were in PostgreSQL are brought into this form before
 * they are hashed, so that a thaw gives the same bytes.
 *
 * @throws JsonbProblem for what jsonb cannot hold, or what is no JSON.
 */
export function toJsonbText(json: string): string {
  const reader = new Reader(json)
  const text = reader.value()
  reader.end()
  return text
}

/** PostgreSQL's jsonb cannot hold it. */
export class JsonbProblem extends Error {}

const quote = 34
const comma = 44
const colon = 58
const openBracket = 91
const closeBracket = 93
const backslash = 92
const openBrace = 123
const closeBrace = 125

const numberForm = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/** Of numeric: digits before the point (4 * 2^15), and behind it. */
const maxWhole = 131_072
const maxScale = 16_383

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(): string {
    this.#skipSpace()
    const code = this.#text.charCodeAt(this.#at)
    switch (code) {
      case openBrace:
        return this.#object()
      case openBracket:
        return this.#array()
      case quote:
        return printString(this.#string())
      default:
        return this.#scalar()
    }
  }

  end(): void {
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#broken()
  }

  #object(): string {
    this.#at += 1
    const members = new Map<string, string>()
    this.#skipSpace()
    if (this.#take(closeBrace)) return '{}'
    do {
      this.#skipSpace()
      const key = this.#string()
      this.#skipSpace()
      if (!this.#take(colon)) throw this.#broken()
      members.set(keyText(key), this.value())
      this.#skipSpace()
    } while (this.#take(comma))
    if (!this.#take(closeBrace)) throw this.#broken()
    const sorted = members.size < 2 ? [...members] : [...members].sort(([a], [b]) => compareKeys(a, b))
    return `{${sorted.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(', ')}}`
  }

  #array(): string {
    this.#at += 1
    const items: string[] = []
    this.#skipSpace()
    if (this.#take(closeBracket)) return '[]'
    do {
      items.push(this.value())
      this.#skipSpace()
    } while (this.#take(comma))
    if (!this.#take(closeBracket)) throw this.#broken()
    return `[${items.join(', ')}]`
  }

  /** With its quotes, as it stands there. */
  #string(): string {
    const text = this.#text
    const from = this.#at
    if (text.charCodeAt(from) !== quote) throw this.#broken()
    let at = from + 1
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === quote) break
      // also behind the end, where it is NaN
      if (!(code >= 32)) throw this.#broken()
      at += code === backslash ? 2 : 1
    }
    this.#at = at + 1
    return text.slice(from, at + 1)
  }

  #scalar(): string {
    const text = this.#text
    for (const word of ['true', 'false', 'null']) {
      if (!text.startsWith(word, this.#at)) continue
      this.#at += word.length
      return word
    }
    numberForm.lastIndex = this.#at
    const token = numberForm.exec(text)?.[0]
    if (token === undefined) throw this.#broken()
    this.#at += token.length
    return printNumber(token)
  }

  #take(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false
    this.#at += 1
    return true
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#at += 1
    }
  }

  #broken(): JsonbProblem {
    return new JsonbProblem(`it is no JSON at character ${this.#at + 1}`)
  }
}

function keyText(token: string): string {
  return token.includes('\\') ? parseString(token) : token.slice(1, -1)
}

/** JSON.stringify escapes exactly what PostgreSQL does, in the same way. */
function printString(token: string): string {
  return token.includes('\\') ? JSON.stringify(parseString(token)) : token
}

function parseString(token: string): string {
  let text: string
  try {
    text = JSON.parse(token) as string
  } catch (cause) {
    throw new JsonbProblem('it has a string with an unknown escape', { cause })
  }
  if (text.includes('\0')) throw new JsonbProblem('it holds the character NUL, which PostgreSQL cannot store')
  return text
}

function compareKeys(a: string, b: string): number {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length - right.length || left.compare(right)
}

/** numeric_out(numeric_in(token)): the exponent written out, as many decimals as were given, no minus before zero. */
function printNumber(token: string): string {
  const isNegative = token.charCodeAt(0) === 45
  const at = token.search(/[eE]/)
  const mantissa = token.slice(isNegative ? 1 : 0, at < 0 ? undefined : at)
  const exponent = at < 0 ? 0 : Number(token.slice(at + 1))
  const point = mantissa.indexOf('.')
  const digits = point < 0 ? mantissa : mantissa.slice(0, point) + mantissa.slice(point + 1)
  const scale = Math.max(0, (point < 0 ? 0 : mantissa.length - point - 1) - exponent)
  const isZero = /^0*$/.test(digits)
  const wholeLength = (point < 0 ? mantissa.length : point) + exponent
  if (scale > maxScale || (!isZero && wholeLength > maxWhole))
    throw new JsonbProblem(`the number ${token.slice(0, 40)} is outside of what numeric can hold`)
  if (isZero) return scale === 0 ? '0' : `0.${'0'.repeat(scale)}`
  const whole =
    wholeLength <= 0
      ? '0'
      : digits
          .slice(0, wholeLength)
          .padEnd(wholeLength, '0')
          .replace(/^0+(?=\d)/, '')
  const fraction = wholeLength < 0 ? '0'.repeat(-wholeLength) + digits : digits.slice(wholeLength)
  const text = scale === 0 ? whole : `${whole}.${fraction.slice(0, scale).padEnd(scale, '0')}`
  return isNegative ? `-${text}` : text
}
