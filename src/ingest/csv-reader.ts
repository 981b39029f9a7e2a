import type { BadDetail, RecordSink } from './record-sink.ts'
import { decodeField, decodeLossy, type TextBlock } from './text-blocks.ts'

export interface CsvDialect {
  /** One character. */
  readonly separator: string
  /** Rows longer than this are refused, which also bounds what an unclosed quote can swallow. */
  readonly maxRecordBytes: number
  /** Whether lines without any character are rows. They are one empty field then. */
  readonly keepBlankLines: boolean
}

const quote = 34
const lf = 10
const cr = 13

/**
 * CSV as RFC 4180 has it and as it is found: CRLF or LF, `""` inside quotes, line ends inside quotes, quotes inside
 * an unquoted field taken as they are, no line end at the end.
 *
 * Own code because it was measured to matter: 1 M rows of 12 columns (91 MB) take csv-parse 2.0 s, papaparse 1.4 s
 * and this reader 0.35 s, and the first is as long as everything else of an import together. Lines without a quote,
 * the usual case, are cut by `indexOf` alone.
 *
 * A quote that is not closed, or is followed by text, spoils one line: reading goes on at the next.
 */
export class CsvReader {
  readonly #dialect: CsvDialect
  readonly #separatorCode: number
  #sink: RecordSink
  #line = 1
  #rest = ''
  #form: TextBlock['form'] = 'text'
  /** Inside a row over the limit: everything up to the next line end is dropped. */
  #skipping = false

  constructor(dialect: CsvDialect, sink: RecordSink) {
    this.#dialect = dialect
    this.#separatorCode = dialect.separator.charCodeAt(0)
    this.#sink = sink
  }

  /** Whether what is read now is bytes (see TextBlock). */
  get isBytes(): boolean {
    return this.#form === 'bytes'
  }

  /** The first row holds names: it is read and left out. */
  skipFirst(): void {
    const sink = this.#sink
    const skip = (): void => {
      this.#sink = sink
    }
    this.#sink = { record: skip, bad: skip }
  }

  push(block: TextBlock): void {
    let text = block.text
    let form = block.form
    if (this.#rest !== '' && this.#form !== form) {
      // one row over two blocks of different form: both as bytes
      if (this.#form === 'text') this.#rest = Buffer.from(this.#rest, 'utf8').toString('latin1')
      else text = Buffer.from(text, 'utf8').toString('latin1')
      form = 'bytes'
    }
    this.#form = form
    this.#rest = this.#read(this.#rest === '' ? text : this.#rest + text, false)
  }

  end(): void {
    if (this.#rest === '') return
    const text = this.#rest.charCodeAt(this.#rest.length - 1) === lf ? this.#rest : this.#rest + '\n'
    this.#rest = ''
    this.#read(text, true)
  }

  /** Returns what is left over: the beginning of a row whose end has not come yet. */
  #read(text: string, atEnd: boolean): string {
    const length = text.length
    const separator = this.#dialect.separator
    const maxLength = this.#dialect.maxRecordBytes
    const asBytes = this.#form === 'bytes'
    let position = 0
    // positions of the next quote and separator are kept over rows: in a block without any they are looked for once
    let nextQuote = -1
    let nextSeparator = -1
    while (position < length) {
      const lineEnd = text.indexOf('\n', position)
      if (this.#skipping) {
        if (lineEnd === -1) return ''
        this.#skipping = false
        this.#line++
        position = lineEnd + 1
        continue
      }
      if (lineEnd === -1) {
        if (length - position <= maxLength) break
        this.#refuseLong(text, position, length)
        this.#skipping = true
        return ''
      }
      if (nextQuote < position) {
        nextQuote = text.indexOf('"', position)
        if (nextQuote === -1) nextQuote = length
      }
      if (nextQuote < lineEnd) {
        const next = this.#readQuoted(text, position, lineEnd, atEnd)
        if (next === -1) break
        position = next
        continue
      }
      const end = lineEnd > position && text.charCodeAt(lineEnd - 1) === cr ? lineEnd - 1 : lineEnd
      const line = this.#line++
      if (end - position > maxLength) {
        this.#refuseLong(text, position, end, line)
      } else if (end > position || this.#dialect.keepBlankLines) {
        if (!asBytes && this.#sink.line?.(line, text, position, end) === true) {
          position = lineEnd + 1
          continue
        }
        const fields: string[] = []
        let from = position
        for (;;) {
          if (nextSeparator < from) {
            nextSeparator = text.indexOf(separator, from)
            if (nextSeparator === -1) nextSeparator = length
          }
          if (nextSeparator >= end) break
          fields.push(text.slice(from, nextSeparator))
          from = nextSeparator + 1
        }
        fields.push(text.slice(from, end))
        if (asBytes) this.#emitBytes(fields, line, text, position, end)
        else this.#sink.record(fields, line, text, position, end)
      }
      position = lineEnd + 1
    }
    return position === 0 ? text : text.slice(position)
  }

  /** One row with quotes in it. Returns where the next row begins, or -1 when the row's end is not in `text`. */
  #readQuoted(text: string, start: number, firstLineEnd: number, atEnd: boolean): number {
    const length = text.length
    const fields: string[] = []
    const line = this.#line
    let extraLines = 0
    let from = start
    for (;;) {
      if (text.charCodeAt(from) !== quote) {
        let lineEnd = from <= firstLineEnd ? firstLineEnd : text.indexOf('\n', from)
        if (lineEnd === -1) return this.#unfinished(text, start, firstLineEnd, atEnd)
        const separatorAt = text.indexOf(this.#dialect.separator, from)
        if (separatorAt !== -1 && separatorAt < lineEnd) {
          fields.push(text.slice(from, separatorAt))
          from = separatorAt + 1
          continue
        }
        const next = lineEnd + 1
        if (lineEnd > from && text.charCodeAt(lineEnd - 1) === cr) lineEnd--
        fields.push(text.slice(from, lineEnd))
        return this.#finish(fields, line, extraLines, text, start, lineEnd, next)
      }
      let value = ''
      let at = from + 1
      let close = -1
      for (;;) {
        close = text.indexOf('"', at)
        if (close === -1) return this.#unfinished(text, start, firstLineEnd, atEnd)
        value += text.slice(at, close)
        if (text.charCodeAt(close + 1) !== quote) break
        value += '"'
        at = close + 2
      }
      for (let i = value.indexOf('\n'); i !== -1; i = value.indexOf('\n', i + 1)) extraLines++
      fields.push(value)
      const code = close + 1 < length ? text.charCodeAt(close + 1) : -1
      if (code === this.#separatorCode) {
        from = close + 2
        continue
      }
      if (code === lf) return this.#finish(fields, line, extraLines, text, start, close + 1, close + 2)
      if (code === cr && close + 2 < length && text.charCodeAt(close + 2) === lf)
        return this.#finish(fields, line, extraLines, text, start, close + 1, close + 3)
      if (code === -1) return this.#unfinished(text, start, firstLineEnd, atEnd)
      return this.#refuseQuote(
        text,
        start,
        firstLineEnd,
        `text follows the closing quote of field ${fields.length}`,
        fields.length - 1,
      )
    }
  }

  #finish(
    fields: string[],
    line: number,
    extraLines: number,
    text: string,
    start: number,
    end: number,
    next: number,
  ): number {
    this.#line += 1 + extraLines
    if (end - start > this.#dialect.maxRecordBytes) this.#refuseLong(text, start, end, line)
    else if (this.#form === 'bytes') this.#emitBytes(fields, line, text, start, end)
    else this.#sink.record(fields, line, text, start, end)
    return next
  }

  #unfinished(text: string, start: number, firstLineEnd: number, atEnd: boolean): number {
    const isOver = text.length - start > this.#dialect.maxRecordBytes
    if (!atEnd && !isOver) return -1
    return this.#refuseQuote(
      text,
      start,
      firstLineEnd,
      isOver
        ? `a quoted field is not closed within maxRecordBytes (${this.#dialect.maxRecordBytes})`
        : 'a quoted field is not closed before the end of the file',
      null,
    )
  }

  #refuseQuote(text: string, start: number, lineEnd: number, message: string, field: number | null): number {
    this.#sink.bad('quote', { message, field, value: null }, this.#line, text, start, lineEnd)
    this.#line++
    return lineEnd + 1
  }

  #refuseLong(text: string, start: number, end: number, line = this.#line): void {
    const message = `the row is longer than maxRecordBytes (${this.#dialect.maxRecordBytes})`
    this.#sink.bad('too_long', { message, field: null, value: null }, line, text, start, end)
  }

  #emitBytes(fields: string[], line: number, text: string, start: number, end: number): void {
    let problem: BadDetail | null = null
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the point is which bytes are no ASCII
      if (!/[^\x00-\x7f]/.test(field)) continue
      const decoded = decodeField(field)
      if (decoded === null) {
        problem = {
          message: `field ${i + 1} holds bytes that are not UTF-8; convert the file (iconv -f LATIN1 -t UTF-8)`,
          field: i,
          value: decodeLossy(field),
        }
        break
      }
      fields[i] = decoded
    }
    if (problem) this.#sink.bad('encoding', problem, line, text, start, end)
    else this.#sink.record(fields, line, text, start, end)
  }
}
